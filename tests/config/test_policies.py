"""Policy files are verified with the configuration: faults stand at their own file and line, examples are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from mediaserverd.config import ConfigError, load_config

ROOT = Path(__file__).parents[2]


def _site(directory: Path, config: str = "", **files: str) -> Path:
    (directory / "rules").mkdir()
    for name, text in files.items():
        (directory / f"{name.replace('__', '/')}.yaml").write_text(text)
    file = directory / "config.yaml"
    file.write_text(f"address: 10.0.0.1\ndata_directory: data\n{config}")
    return file


def _faults(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return [str(fault).replace(f"{file.parent}/", "") for fault in caught.value.faults]


@pytest.mark.parametrize("name", ["minimal.yaml", "full.yaml", "media-alone.yaml"])
def test_every_example_configuration_is_valid(name: str) -> None:
    load_config(ROOT / "config" / name)


def test_the_examples_of_the_full_configuration_are_run() -> None:
    assert load_config(ROOT / "config" / "full.yaml").examples == 4


def test_an_example_that_does_not_hold_refuses_the_configuration(tmp_path: Path) -> None:
    policies = """\
policies:
  - name: outside
    when: {direction: inbound}
    then: {record: true}
examples:
  - {call: {direction: internal}, expect: record}
"""
    file = _site(tmp_path, "initiation_policies: i.yaml", i=policies)
    assert _faults(file) == ["i.yaml:6: examples[0]: expected record, got nothing"]


def test_faults_of_several_rule_files_stand_where_they_are(tmp_path: Path) -> None:
    file = _site(
        tmp_path,
        "selection_rules: rules",
        rules__a="rules:\n  default: [any]\n  odd:\n    - nowhere\n",
        rules__b="rules:\n  empty: []\nexamples:\n  - {rule: missing, expect: []}\n",
    )
    assert _faults(file) == [
        "rules/a.yaml:4: rules.odd[0]: there is no location 'nowhere'",
        "rules/b.yaml:2: rules.empty: an empty rule selects nothing",
        "rules/b.yaml:4: examples[0].rule: there is no rule 'missing'",
    ]


def test_a_rule_given_in_two_files_is_refused(tmp_path: Path) -> None:
    file = _site(tmp_path, "selection_rules: rules", rules__a="rules: {x: [any]}\n", rules__b="rules: {x: [any]}\n")
    assert _faults(file) == ["rules/b.yaml:1: rules.x: given in another file already"]


LOCATIONS = """\
stations:
  - {name: a, extension: "1", password: x, location: berlin}
  - {name: b, extension: "2", password: x, location: berln}
lines: [{name: trunk, address: h, location: hamburg}]
locations:
  berlin: {rule: local}
  hamburg: {rule: lcoal}
selection_rules: rules
"""


def test_each_location_names_its_rule_and_slips_of_the_pen_are_found(tmp_path: Path) -> None:
    rules = "rules:\n  local:\n    - {location: berlin, when: {line: tronk}}\n    - any\nlocations: {berlin: {}}\n"
    file = _site(tmp_path, LOCATIONS, rules__a=rules)
    assert _faults(file) == [
        "config.yaml:5: stations[1].location: there is no location berln; did you mean berlin?",
        "rules/a.yaml:5: locations: expected rules (mapping) or examples (list)",
    ]
    (tmp_path / "rules" / "a.yaml").write_text(rules.removesuffix("locations: {berlin: {}}\n"))
    file.write_text(file.read_text().replace("berln", "berlin"))
    assert _faults(file) == [
        "rules/a.yaml:3: rules.local[0].when.line: there is no line 'tronk'",
        "config.yaml:9: locations.hamburg.rule: there is no rule 'lcoal'",
    ]
    (tmp_path / "rules" / "a.yaml").write_text(
        rules.removesuffix("locations: {berlin: {}}\n").replace("tronk", "trunk")
    )
    file.write_text(file.read_text().replace("lcoal", "local"))
    selection = load_config(file).controller.selection
    assert selection["locations"] == {"berlin": {"rule": "local"}, "hamburg": {"rule": "local"}}


def test_record_all_and_policies_exclude_each_other(tmp_path: Path) -> None:
    file = _site(tmp_path, "record: all\ninitiation_policies: i.yaml", i="policies: []\n")
    assert _faults(file) == ["config.yaml:3: record: give either record or initiation_policies, not both"]
