from pathlib import Path

import pytest

from efficientad.errors import InputError
from eval.readme import BEGIN, END, table, update

ROOT = Path(__file__).resolve().parent.parent


def row(category: str, value: float, split: str = "standard") -> dict[str, str]:
    names = ("image_auroc", "pixel_auroc", "pixel_f1", "aupro", "image_recall", "image_false_positive_rate")
    return {"category": category, "split": split, "seed": "42", "size": "S", **dict.fromkeys(names, f"{value}")}


def test_the_mean_leaves_out_non_standard_splits() -> None:
    text = table([row("a", 0.5), row("b", 0.7), row("c", 0.0, "non-standard")])
    assert "| a | 50.0 |" in text
    assert "| c (non-standard split) | 0.0 |" in text
    assert "| **mean of 2** | 60.0 |" in text


def test_an_undefined_metric_is_a_dash() -> None:
    assert "| – |" in table([{**row("a", 0.5), "aupro": ""}])


def test_the_rest_of_the_readme_stays(tmp_path: Path) -> None:
    readme, csv = tmp_path / "README.md", tmp_path / "categories.csv"
    values = row("a", 0.5)
    csv.write_text(",".join(values) + "\n" + ",".join(values.values()) + "\n")
    readme.write_text(f"before {BEGIN} old {END} after")
    update(readme, csv)
    text = readme.read_text()
    assert text.startswith(f"before {BEGIN}\n| category")
    assert text.endswith(f"{END} after")
    assert " old " not in text
    readme.write_text("nothing")
    with pytest.raises(InputError, match="no markers"):
        update(readme, csv)


def test_the_committed_readme_shows_the_committed_numbers(tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    update(copy, ROOT / "eval" / "results" / "categories.csv")
    assert copy.read_text(encoding="utf-8") == (ROOT / "README.md").read_text(encoding="utf-8")
