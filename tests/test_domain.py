"""Images of another kind are told from those a model was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from efficientad.checkpoint import load_domain, load_model
from efficientad.detector import Detector
from efficientad.domain import LENIENCE, MARGIN, SHARE, Domain, judge, learn, summarise

from .conftest import TinyWorld, dots


def test_a_summary_is_mean_and_deviation() -> None:
    described = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    summary = summarise(described)
    torch.testing.assert_close(summary[:, :5], described.mean(dim=(2, 3)))
    torch.testing.assert_close(summary[:, 5:], described.flatten(2).std(dim=2, correction=0))


def test_distance_is_that_of_the_covariance_it_stands_for() -> None:
    """Mahalanobis's distance under main directions plus equal noise elsewhere, computed with the full matrix."""
    generator = torch.Generator().manual_seed(1)
    training = torch.randn(60, 20, generator=generator) @ torch.diag(torch.linspace(3, 0.1, 20))
    domain = learn(training, training[:5])
    _, singular, directions = torch.linalg.svd(training - training.mean(0), full_matrices=False)
    variance = singular.square() / 60
    noise = variance[8:].sum() / 12
    covariance = directions[:8].T @ torch.diag(variance[:8]) @ directions[:8] + noise * torch.eye(20)
    x = torch.randn(20, generator=generator)
    offset = x - training.mean(0)
    expected = float((offset @ torch.linalg.inv(covariance) @ offset / 20).sqrt())
    assert abs(domain.distance(x) - expected) < 1e-3 * expected
    assert abs(domain.limit - MARGIN * max(domain.distance(each) for each in training[:5])) < 1e-5


def test_what_varies_among_good_images_may_vary() -> None:
    generator = torch.Generator().manual_seed(2)
    training = 0.1 * torch.randn(40, 30, generator=generator)
    training[:, 0] += 5 * torch.randn(40, generator=generator)
    domain = learn(training, training[:4])
    along, across = torch.zeros(30), torch.zeros(30)
    along[0], across[1] = 5.0, 5.0
    assert domain.distance(along) < domain.limit < domain.distance(across)


def test_the_best_category_is_the_one_an_image_is_nearest_to_by_its_own_measure() -> None:
    near = Domain(torch.zeros(4), 1.0, torch.zeros(1, 4), 1.0, 2.5)
    far = Domain(torch.full((4,), 10.0), 1.0, torch.zeros(1, 4), 1.0, 2.5)
    fit = judge("near", torch.full((4,), 9.5), {"near": near, "far": far})
    assert not fit.fits and fit.best == "far" and fit.distance > fit.limit
    assert judge("near", torch.zeros(4), {"near": near, "far": far}).fits


def test_a_trained_model_knows_its_own_images(tiny: TinyWorld) -> None:
    _, card = load_model(tiny.model)
    teacher, domain = load_domain(tiny.model)
    assert teacher == card.teacher and domain.limit == card.domain.limit
    assert torch.equal(domain.centre, card.domain.centre) and torch.equal(domain.allowance, card.domain.allowance)
    detector = Detector.load(tiny.model)
    rng = np.random.default_rng(9)
    own = detector.predict(dots(rng)).summary
    other = detector.predict(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).summary
    assert domain.distance(own) <= domain.limit < domain.distance(other)


def test_a_large_defect_is_no_other_category() -> None:
    near = Domain(torch.zeros(4), 1.0, torch.zeros(1, 4), 1.0, 2.5)
    far = Domain(torch.full((4,), 10.0), 1.0, torch.zeros(1, 4), 1.0, 2.5)
    assert judge("near", torch.full((4,), 2.0), {"near": near, "far": far}).fits
    assert not judge("near", torch.full((4,), 3.0), {"near": near, "far": far}).fits


def test_natural_photos_set_the_outer_limit() -> None:
    generator = torch.Generator().manual_seed(3)
    training = torch.randn(40, 30, generator=generator)
    alone = learn(training, training[:4])
    assert alone.outer == LENIENCE * alone.limit
    natural = torch.randn(10, 30, generator=generator) + 20
    domain = learn(training, training[:4], natural)
    assert domain.limit == alone.limit
    assert domain.outer == SHARE * min(domain.distance(each) for each in natural) > domain.limit
    assert not any(judge("own", each, {"own": domain}).fits for each in natural)
    assert learn(training, training[:4], training[:4]).outer == domain.limit  # never below the inner one


def test_a_file_of_before_the_outer_limit_still_loads(tiny: TinyWorld, tmp_path: Path) -> None:
    with safe_open(tiny.model, framework="pt") as file:
        meta = json.loads(file.metadata()["efficientad"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del meta["domain"]["outer"]
    save_file(tensors, tmp_path / "old.safetensors", metadata={"efficientad": json.dumps(meta)})
    _, domain = load_domain(tmp_path / "old.safetensors")
    assert domain.outer == LENIENCE * domain.limit
