"""A reload of a configuration that is wrong: refused with file and line, and what runs goes on as it was."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.undisturbed import Site

pytestmark = pytest.mark.asyncio(loop_scope="package")

WRONG = {
    "nonsense: true": "unknown key",
    "lines: [1, 2": "not YAML: expected",
    "stations: 7": "stations",
    "\ttab: 1": "not YAML",
    "media: {rtp_ports: 1-2}": "media: given twice",
}


@pytest.mark.parametrize("line", WRONG)
async def test_a_wrong_line_is_named_and_changes_nothing(site: Site, line: str) -> None:
    site.daemon.expect("reload_refused")
    good = site.daemon.config.read_text()
    known = len(site.told("reload_refused"))
    site.daemon.config.write_text(f"{good}{line}\n")
    try:
        site.daemon.reload()
        async with asyncio.timeout(10):
            while len(site.told("reload_refused")) == known:
                await asyncio.sleep(0.05)
    finally:
        site.daemon.config.write_text(good)
    faults = "\n".join(site.told("reload_refused")[-1]["faults"])
    assert f"{site.daemon.config}:" in faults
    assert WRONG[line] in faults
    assert await site.daemon.status.missing("controller") == ""


async def test_calls_go_on_during_a_refused_reload_and_a_good_one_is_taken_afterwards(site: Site) -> None:
    site.daemon.expect("reload_refused")
    good = site.daemon.config.read_text()
    async with site.call():
        site.daemon.config.write_text("[")
        site.daemon.reload()
        await asyncio.sleep(0.5)
        site.daemon.config.write_text(good)
        site.daemon.reload()
        async with asyncio.timeout(10):
            while len({line["role"] for line in site.told("reloaded")}) < 3:
                await asyncio.sleep(0.05)


async def test_a_reload_by_the_api_tells_file_and_line_and_leaves_rules_and_running_calls_alone(site: Site) -> None:
    site.daemon.expect("reload_refused")
    status = site.daemon.status
    good = site.daemon.config.read_text()
    rules = site.daemon.config.with_name("rules.yaml")
    rules.write_text("rules:\n  default:\n    - any\n    - $device\n")
    try:
        async with site.call():
            site.daemon.config.write_text(f"{good}selection_rules: {rules}\n")
            refused = await status.post("controller", "/control/reload")
            assert refused.status_code == 422
            assert refused.json()["faults"] == [f"{rules}:4: rules.default[1]: can never be reached behind any"]
            rules.write_text("rules:\n  default: [{any: true, when: {called: '+49*'}}, $device]\n")
            taken = await status.post("controller", "/control/reload")
            assert (taken.status_code, taken.json()) == (200, {"restart_needed_for": []})
            [running] = await status.calls()
        async with site.call():
            [later] = await status.calls()
        stories = [
            (await status.get("controller", f"/control/calls/{each['call_id']}")).json() for each in (running, later)
        ]
        first_steps = [story["selections"][0]["steps"][0] for story in stories]
        assert [step["entry"] for step in first_steps] == ["$device", "any"]
        assert first_steps[1]["reason"] == "called number is 101"
    finally:
        site.daemon.config.write_text(good)
        assert await site.daemon.command("reload") == "in force\n"
