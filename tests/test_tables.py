import shutil
from pathlib import Path

import pandas as pd
import pytest

from efficientad.errors import InputError
from eval import tables

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "eval" / "results"


def row(category: str, value: float, split: str = "standard") -> dict[str, object]:
    names = (*tables.METRICS, "structural_auroc", "logical_auroc", "image_recall", "image_false_positive_rate")
    rest = {"good_images": 4, "defective_images": 8, "milliseconds": 12.3}
    return {"category": category, "split": split, "seed": 42, "size": "S", **dict.fromkeys(names, value), **rest}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    shutil.copytree(RESULTS / "reference", folder / "reference")
    rows = [row("grid", 0.5), row("pill", 0.7), row("toothbrush", 0.1, "non-standard")]
    pd.DataFrame(rows).to_csv(folder / "categories.csv", index=False)
    return folder


def line(text: str, start: str) -> list[str]:
    """The cells of the first line that starts so."""
    found = next(line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_four_tables_in_the_original_order(results: Path) -> None:
    text = tables.section(results)
    heads = [part for part in text.splitlines() if part.startswith("| | Avg | Carpet | Grid | Leather | Tile | Wood")]
    assert len(heads) == 4
    assert [text.count(f"#### {title}\n") for title in tables.METRICS.values()] == [1] * 4


def test_averages_compare_like_with_like(results: Path) -> None:
    text = tables.section(results)
    cells = line(text, "**EfficientAD-S, ours**")
    assert cells[1] == "60.0 (2)"  # toothbrush is no official split
    assert cells[3] == "50.0" and cells[2] == "–"
    assert "Toothbrush¹" in text and "¹ Not the official split" in text
    reference = pd.read_csv(results / "reference" / "efficientad.csv")
    chosen = reference[
        (reference["source"] == "rximg") & (reference["size"] == "S") & (reference["metric"] == "image_auroc")
        & reference["category"].isin(["grid", "pill"])
    ]  # fmt: skip
    assert line(text, "EfficientAD-S, [rximg]")[1] == f"{chosen['value'].mean():.1f} (2)"


def test_an_undefined_metric_is_a_dash(results: Path) -> None:
    frame = pd.read_csv(results / "categories.csv")
    frame.loc[frame["category"] == "grid", "image_auroc"] = float("nan")
    frame.to_csv(results / "categories.csv", index=False)
    cells = line(tables.section(results), "**EfficientAD-S, ours**")
    assert cells[1] == "70.0 (1)" and cells[3] == "–"


def test_decisions_are_shares_of_what_was_tested(results: Path) -> None:
    assert line(tables.section(results), "Grid |") == ["Grid", "50.0 % of 8", "50.0 % of 4", "12"]


def test_each_map_alone_is_shown_beside_both(results: Path) -> None:
    frame = pd.read_csv(results / "categories.csv")
    frame["structural_auroc"], frame["logical_auroc"] = 0.25, 0.75
    frame.to_csv(results / "categories.csv", index=False)
    assert "| Grid | 25.0 | 75.0 | 50.0 |" in tables.section(results)


def test_seeds_show_mean_and_deviation(results: Path) -> None:
    assert "Several seeds" not in tables.section(results)
    runs = [{**row("screw", value), "seed": seed} for seed, value in ((1, 0.8), (2, 0.9))] + [row("grid", 0.5)]
    pd.DataFrame(runs).to_csv(results / "seeds.csv", index=False)
    text = tables.section(results)
    assert line(text, "Screw | 1, 2 |") == ["Screw", "1, 2", *["85.0 ± 7.1"] * 4]
    assert "| Grid | 42 |" not in text  # one seed has no deviation


def test_the_evaluated_model_is_one_of_the_seeds(results: Path) -> None:
    ours = pd.read_csv(results / "categories.csv")
    ours[ours["category"] == "grid"].assign(seed=43, image_auroc=0.6).to_csv(results / "seeds.csv", index=False)
    assert line(tables.section(results), "Grid | 42, 43 |")[2] == "55.0 ± 7.1"


def test_the_rest_of_the_readme_stays(results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before <!-- results --> old <!-- /results --> after")
    tables.update(readme, results)
    text = readme.read_text()
    assert text.startswith("before <!-- results -->\n#### Image-Level AUC")
    assert text.endswith("<!-- /results --> after")
    assert " old " not in text
    readme.write_text("nothing")
    with pytest.raises(InputError, match="no markers"):
        tables.update(readme, results)


def test_the_committed_readme_shows_the_committed_numbers(tmp_path: Path) -> None:
    copy = Path(shutil.copy(ROOT / "README.md", tmp_path))
    tables.update(copy, RESULTS)
    assert copy.read_text(encoding="utf-8") == (ROOT / "README.md").read_text(encoding="utf-8")
