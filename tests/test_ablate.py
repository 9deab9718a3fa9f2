"""One change at a time: which variants there are, what is kept and what is redone, the table and the figure."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_benchmark import record

from benchmarks import ablate, edit
from benchmarks.ablate import DEFAULT, GROUPS, draw, format_groups, main, variants
from benchmarks.table import summarize
from flowedit.config import Config, Weights

ALL = list(GROUPS)
VARIANTS = variants(ALL, Config())
ENCODER = SimpleNamespace(name="tiny")


class Bench:
    """A stand-in for the edits: remembers with which Config it ran, and fails or is interrupted where it is told.

    It draws no figure, which would take most of the time.
    """

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.portraits = folder / "portraits"
        self.portraits.mkdir()
        for number in range(1, 5):
            (self.portraits / f"{number:03d}_neutral.jpg").touch()
        self.ran: list[Config] = []
        self.looked = 0
        self.errors: dict[str, BaseException] = {}
        self.numbers: dict[str, object] = {}
        self.about = {"machine": {"cores": 2, "load_at_start": 0.0}, "versions": {"torch": "2"}, "commit": "abc"}

    def environment(self) -> dict[str, object]:
        self.about["machine"]["load_at_start"] += 0.1
        return {**self.about, "machine": dict(self.about["machine"])}

    def faces_of(self, options):
        self.looked += 1
        return {}, options.paths[: options.limit]

    def run(self, *args, find):
        assert find.keywords["start"] is None  # a network learned one of the variants
        given = inspect.signature(edit.run).bind(*args, find=find).arguments  # as the real one would take it
        config = given["config"]
        if self.errors and self.errors.get(named(config)):
            raise self.errors[named(config)]
        self.ran.append(config)
        own = [record(0.1 * config.views, **self.numbers) for _ in given["paths"]]
        return {"rows": [summarize(prompt, own) for prompt in given["prompts"]], "edits": own}

    def draw(self, path, results, groups, base):
        path.write_text(" ".join([*groups, *results]))

    def __call__(self, *arguments: str) -> int:
        self.ran.clear()
        return main([str(self.portraits), "-o", str(self.out), *arguments], encoder=ENCODER)

    @property
    def names(self) -> list[str]:
        return [named(config) for config in self.ran]


def named(config: Config) -> str:
    return next(name for name, each in VARIANTS.items() if each == config)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    made = Bench(tmp_path)
    for name in ("environment", "faces_of", "run", "draw"):
        monkeypatch.setattr(ablate, name, getattr(made, name))
    return made


def flat(config):
    """Settings by their dotted names."""
    groups = config.to_dict().items()
    return {
        name if key is None else f"{name}.{key}": each
        for name, value in groups
        for key, each in (value.items() if isinstance(value, dict) else [(None, value)])
    }


def test_each_variant_changes_exactly_one_setting():
    default = flat(Config())
    for name, config in VARIANTS.items():
        changed = [key for key, value in flat(config).items() if value != default[key]]
        assert changed == ([] if name == DEFAULT else [name.partition("=")[0]]), name
    for group, settings in GROUPS.items():
        assert [ablate.name_of(setting, Config()) for setting in settings].count(DEFAULT) == 1, group
        assert len({setting.partition("=")[0] for setting in settings}) == 1, group


def test_the_default_runs_once_and_stands_in_each_group(bench, capsys):
    assert bench() == 0
    assert bench.names.count(DEFAULT) == 1 and bench.names == list(VARIANTS) and bench.looked == 1
    lines = capsys.readouterr().out.splitlines()
    marked = [line.split()[0] for line in lines if " * " in line]
    assert marked == [s for settings in GROUPS.values() for s in settings if ablate.name_of(s, Config()) == DEFAULT]
    assert [line for line in lines if line in GROUPS] == ALL


def test_only_some_groups(bench):
    bench("--only", "views", "target")
    assert bench.names == [DEFAULT, "target=absolute", "target=projected", "views=1", "views=4"]
    bench("--only", "shift")
    assert bench.names == ["weights.shift=0", "weights.shift=8"]


def test_what_is_done_is_not_done_again(bench, capsys):
    bench("--only", "views")
    first = capsys.readouterr().out
    bench.looked = 0
    assert bench("--only", "views") == 0
    assert bench.names == [] and bench.looked == 0
    assert capsys.readouterr().out == first == (bench.out / "table.txt").read_text()
    bench("--only", "views", "--fresh")
    assert bench.names == [DEFAULT, "views=1", "views=4"]


@pytest.mark.parametrize(
    "what", ["prompts", "limit", "edited", "portraits", "encoder", "versions", "commit", "machine"]
)
def test_what_was_done_otherwise_is_done_again_and_told(bench, capsys, monkeypatch, what):
    bench("--only", "views")
    capsys.readouterr()
    options = {"prompts": ["--prompts", "big eyes"], "limit": ["--limit", "2"], "edited": ["--people", "after:1"]}
    if what == "portraits":
        (bench.portraits / "002_neutral.jpg").write_bytes(b"another photo")
    if what == "encoder":
        monkeypatch.setattr(ENCODER, "name", "large")
    bench.about |= {"versions": {"versions": {"torch": "3"}}, "commit": {"commit": "abd"}}.get(what, {})
    if what == "machine":
        bench.about["machine"]["cores"] = 64
    bench("--only", "views", *options.get(what, []))
    assert bench.names == [DEFAULT, "views=1", "views=4"]
    assert f"views=1: measured anew, since what is there has another {what}\n" in capsys.readouterr().err
    bench("--only", "views", *options.get(what, []))
    assert bench.names == []


def test_a_changed_default_is_another_config(bench, monkeypatch):
    bench("--only", "views")
    kept = json.loads((bench.out / "views=1.json").read_text())
    kept["config"]["alpha"] = 0.5
    (bench.out / "views=1.json").write_text(json.dumps(kept))
    bench("--only", "views")
    assert bench.names == ["views=1"]


def test_a_file_of_settings_is_the_default(bench, capsys):
    (bench.out.parent / "calm.toml").write_text("views = 4\n[weights]\nbending = 0.3\n")
    command = ["--config", str(bench.out.parent / "calm.toml"), "--only", "views", "bending"]
    base = Config(views=4, weights=Weights(bending=0.3))
    assert bench(*command) == 0 and bench.ran == list(variants(["views", "bending"], base).values())
    names = ["default", "views=1", "views=2", "weights.bending=0", "weights.bending=0.03"]
    assert sorted(path.stem for path in bench.out.glob("*.json")) == names
    marked = [line.split()[0] for line in capsys.readouterr().out.splitlines() if " * " in line]
    assert marked == ["views=4", "weights.bending=0.3"]


def test_an_interruption_loses_one_variant(bench):
    bench.errors["views=4"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench("--only", "views")
    bench.errors.clear()
    bench("--only", "views")
    assert bench.names == ["views=4"]


def test_an_interrupted_fresh_call_leaves_nothing_old(bench):
    bench("--only", "views")
    bench.errors["views=1"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench("--only", "views", "--fresh")
    bench.errors.clear()
    bench("--only", "views")
    assert bench.names == ["views=1", "views=4"]


@pytest.mark.parametrize("failing", ["views=1", DEFAULT])
def test_a_failing_variant_is_told_and_stops_no_other(bench, capsys, failing):
    bench.errors[failing] = RuntimeError("no memory\nat all")
    assert bench("--only", "views") == 1
    assert bench.names == [name for name in (DEFAULT, "views=1", "views=4") if name != failing]
    told = [line for line in capsys.readouterr().out.splitlines() if "failed: RuntimeError: no memory at all" in line]
    assert len(told) == 1 and told[0].split()[0] == ("views=2" if failing == DEFAULT else failing)
    assert (bench.out / "ablate.png").is_file()
    bench.errors.clear()
    assert bench("--only", "views") == 0
    assert bench.names == [failing]


def report(*effects: float, prompts=("big eyes", "a wide nose", "red lipstick"), **numbers) -> dict[str, object]:
    """A variant's rows: these effects for the shape prompts, another unit for the tint."""
    rows = [summarize(p, [record(e, **numbers)]) for p, e in zip(prompts, (*effects, 0.0), strict=True)]
    rows[-1] |= {"right": 0.25, "effect": 20.0, "elsewhere": 9.0}
    return {"rows": rows}


def cells(text: str, label: str) -> dict[str, str]:
    """A row of the table by heading; a change goes by the heading before it and a mark."""
    head, *lines = text.replace("id 50 %", "id").replace("bend %", "bend").splitlines()
    row = next(line for line in lines if line.split()[0] == label).replace(" *", "").split()[1:]
    names = head.split()
    keys = [f"{names[i - 1]} change" if name == "change" else name for i, name in enumerate(names)]
    return dict(zip(keys, row, strict=True))


def test_the_table_averages_shapes_apart_and_tells_the_change():
    results = {DEFAULT: report(1.0, 2.0), "views=1": report(1.5, 2.5, identity=0.21), "views=4": report(1.0, 0.5)}
    text = format_groups(results, ["views"], Config())
    default, one, four = (cells(text, f"views={n}") for n in (2, 1, 4))
    assert default["effect"] == "+1.50" and default["right"] == "75%" and default["n"] == "3"
    assert default["elsewhere"] == "1.00"  # the tint's 9 is in Delta E
    assert default["effect change"] == default["id change"] == "-"
    assert one["effect change"] == "+0.50" and one["id change"] == "-0.090" and one["elsewhere change"] == "+0.00"
    assert four["effect"] == "+0.75" and four["effect change"] == "-0.75"
    assert {len(line) for line in text.splitlines() if "%" in line} == {len(text.splitlines()[0])}


def test_a_lost_face_is_as_far_on_the_second_call(bench, capsys):
    bench.numbers = {"identity": math.inf}
    bench("--only", "views")
    first = capsys.readouterr().out
    bench("--only", "views")
    assert capsys.readouterr().out == first and cells(first, "views=1")["id"] == "inf"


def test_the_figure_has_a_panel_for_each_group(tmp_path):
    results = {name: report(1.0 + 0.1 * i, 2.0) for i, name in enumerate(VARIANTS)}

    def drawn(groups):
        return np.array(Image.open(draw(tmp_path / "a.png", results, groups, Config())).convert("RGB"))

    few, many = drawn(ALL[:1]), drawn(ALL)
    assert many.shape[0] > 1.5 * few.shape[0] and many.shape[1] > 3 * few.shape[1]
    blue, red = ((many == color).all(-1) for color in ((31, 119, 180), (214, 39, 40)))
    assert blue.any() and red.any()
    results["field=hash"] = {"error": "RuntimeError: no memory"}
    assert (drawn(ALL) == (31, 119, 180)).all(-1).sum() < blue.sum()  # the failed one has no point


@pytest.mark.parametrize("wrong", [["--only", "beauty"], ["--prompts", "red lipstick"], ["--limit", "0"]])
def test_wrong_usage_is_told_before_any_work(bench, wrong):
    with pytest.raises(SystemExit) as stopped:
        bench(*wrong)
    assert stopped.value.code == 2 and bench.ran == [] and not bench.out.exists()
