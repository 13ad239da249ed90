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


@pytest.mark.parametrize("name", ["minimal.yaml", "full.yaml"])
def test_every_example_configuration_is_valid(name: str) -> None:
    load_config(ROOT / "config" / name)


def test_the_examples_of_the_full_configuration_are_run() -> None:
    assert load_config(ROOT / "config" / "full.yaml").examples == 3


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


def test_record_all_and_policies_exclude_each_other(tmp_path: Path) -> None:
    file = _site(tmp_path, "record: all\ninitiation_policies: i.yaml", i="policies: []\n")
    assert _faults(file) == ["config.yaml:3: record: give either record or initiation_policies, not both"]
