"""Presets are found by name or file, ours and the user's, and their settings are right."""

from pathlib import Path

import pytest

from engine.config.load import resolve
from engine.config.rules import check
from engine.findings import FindingsError
from presets import loader

OURS = [path.stem for path in sorted(Path(loader.__file__).parent.glob("*.yaml"))]


@pytest.fixture(autouse=True)
def own_config_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for the user's presets."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = loader.user_dir()
    assert folder.is_relative_to(tmp_path)
    folder.mkdir(parents=True)
    return folder


def test_our_presets_are_there():
    assert "quickstart" in OURS
    assert loader.names() == OURS


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("world_size", [1, 2])
def test_our_presets_need_nothing_but_what_they_name(name: str, world_size: int):
    preset = loader.load(name)
    assert preset.title and preset.task and preset.description and preset.layer.source == f"preset {name}"
    config = resolve([preset.layer]).config
    errors = {f.param for f in check(config, world_size=world_size) if f.severity == "error"}
    assert errors == set(preset.needs)


def test_a_users_preset_is_listed_and_comes_first(own_config_dir: Path):
    (own_config_dir / "mine.yaml").write_text(
        "title: Mine\ntask: code\nneeds: [pretrain]\nbatch: {train_batch_size: 8}\n"
    )
    (own_config_dir / "quickstart.yml").write_text("title: Other\n")
    assert loader.names() == sorted({*OURS, "mine", "quickstart"})
    mine = loader.load("mine")
    assert (mine.title, mine.task) == ("Mine", "code") and mine.needs == ("model.pretrain",)
    assert mine.layer.values == {"batch.train_batch_size": 8}
    assert loader.load("quickstart").title == "Other"


def test_a_file_serves_as_a_preset(tmp_path: Path):
    path = tmp_path / "run7.yaml"
    path.write_text("seed: 7\n")
    preset = loader.load(str(path))
    assert (preset.name, preset.title, preset.task, preset.path) == ("run7", "run7", "", path)
    assert preset.layer.values == {"run.seed": 7} and preset.layer.source == "preset run7"


def test_settings_at_fault_stay_in_the_layer(tmp_path: Path):
    path = tmp_path / "p.yaml"
    path.write_text("title: T\nbatch: {train_batch_sise: 8}\ntitle: U\n")
    assert {f.id for f in loader.load(str(path)).layer.findings} == {
        "config.unknown-key",
        "config.duplicate-key",
    }


@pytest.mark.parametrize(
    ("name", "text", "id", "words"),
    [
        ("quikstart", None, "preset.unknown", "quikstart"),
        ("no/such.yaml", None, "config.file-unreadable", "no/such.yaml"),
        ("p.yaml", "title: [", "config.yaml-syntax", "line 1"),
        ("p.yaml", "title: [1]", "preset.wrong-type", "title = [1]"),
        ("p.yaml", "task: [math]", "preset.wrong-type", "task ="),
        ("p.yaml", "needs: [modle]", "preset.wrong-type", "needs"),
        ("p.yaml", "needs: model.pretrain", "preset.wrong-type", "needs"),
    ],
)
def test_no_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None, id: str, words: str
):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path(name).write_text(text)
    with pytest.raises(FindingsError) as raised:
        loader.load(name)
    (finding,) = raised.value.findings
    assert finding.id == id and words in finding.cause and raised.value.exit_code == 2


def test_a_wrong_title_hides_no_wrong_setting(tmp_path: Path):
    path = tmp_path / "p.yaml"
    path.write_text("title: 3\nbatch: {train_batch_sise: 8}\n")
    with pytest.raises(FindingsError) as raised:
        loader.load(str(path))
    assert [finding.id for finding in raised.value.findings] == ["preset.wrong-type", "config.unknown-key"]


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(FindingsError, match="did you mean quickstart"):
        loader.load("quickstrat")


@pytest.mark.parametrize("name", ["~no-such-user-here/x.yaml", "x" * 300])
def test_a_path_that_cannot_be_is_an_unknown_preset(name: str) -> None:
    with pytest.raises(FindingsError) as refused:
        loader.load(name)
    assert refused.value.findings[0].id == "preset.unknown"
