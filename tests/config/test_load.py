"""A configuration file becomes settings, or a list of everything that is wrong with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mediaserverd.call.setup import FeatureCodes
from mediaserverd.config import ConfigError, load_config
from mediaserverd.config.demo import write_first_config
from mediaserverd.config.stations import add_station, remove_station
from mediaserverd.media.settings import RecordingDefaults

ROOT = Path(__file__).parents[2]


def _write(directory: Path, text: str) -> Path:
    file = directory / "config.yaml"
    file.write_text(text)
    return file


def _faults(directory: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(directory, text))
    return [str(fault).replace(f"{directory}/", "") for fault in caught.value.faults]


def test_the_minimal_example_is_valid_and_uses_the_documented_ports() -> None:
    config = load_config(ROOT / "config" / "minimal.yaml")
    sip = config.controller.sip
    assert (sip.udp_port, sip.tcp_port, sip.tls_port) == (5060, 5060, 5061)
    assert config.media.own.parameters.rtp_ports == "16384-32767"
    assert (config.recorder.api_port, config.media.retrieval_port, config.media.ng_port) == (8443, 8102, 2223)
    assert [station.extension for station in config.controller.stations] == ["100", "101"]


def test_media_servers_on_other_hosts_are_used_instead_of_the_one_of_this_host(tmp_path: Path) -> None:
    text = """\
address: 10.0.0.1
data_directory: data
media_servers:
  - {name: m1, address: 10.0.0.2, location: berlin}
  - {name: m2, address: "2001:db8::2", ng_port: 2224, retrieval_port: 8103}
recorder: {address: 10.0.0.9}
"""
    config = load_config(_write(tmp_path, text))
    servers = [(one.name, one.location, one.url) for one in config.controller.media_servers]
    assert servers == [("m1", "berlin", "wss://10.0.0.2:2223/"), ("m2", "default", "wss://[2001:db8::2]:2224/")]
    assert [one.url for one in config.recorder.media_servers] == ["https://10.0.0.2:8102", "https://[2001:db8::2]:8103"]
    assert config.controller.ledger.url == "https://10.0.0.9:8443"
    assert _faults(tmp_path, text.replace("m2", "m1")) == [
        "config.yaml:5: media_servers[1].name: m1 is taken already (config.yaml:4)"
    ]


def test_a_password_becomes_the_two_digest_hashes_and_is_kept_nowhere() -> None:
    config = load_config(ROOT / "config" / "minimal.yaml")
    expected = hashlib.md5(b"alice:mediaserverd:change-me-too-1").hexdigest()
    assert config.controller.stations[0].ha1_md5 == expected
    assert "change-me" not in repr(config)


def test_every_fault_is_told_at_once_with_file_line_and_path(tmp_path: Path) -> None:
    text = """\
address: 10.0.0.1
data_directory: data
stations:
  - {name: alice, extension: "100", pasword: x}
  - {name: "b b", extension: 101, password: y}
sip:
  udp_port: 70000
"""
    assert _faults(tmp_path, text) == [
        "config.yaml:4: stations[0].pasword: unknown key; did you mean password?",
        "config.yaml:5: stations[1].name: must be 1 to 64 letters, digits and any of _ . + - "
        "(and begin with a letter or digit)",
        "config.yaml:5: stations[1].extension: must be text; put it in quotes",
        "config.yaml:7: sip.udp_port: Input should be less than or equal to 65535",
    ]


def test_faults_between_sections_name_both_places(tmp_path: Path) -> None:
    text = """\
address: 10.0.0.1
data_directory: data
stations:
  - {name: alice, extension: "100", password: x}
  - {name: bob, extension: "100", password: x}
  - {name: carol, extension: "102"}
workgroups:
  - {name: desk, extension: "200", members: [alise]}
sip: {tls_port: 8443}
"""
    assert _faults(tmp_path, text) == [
        "config.yaml:6: stations[2]: needs either a password, or both ha1_md5 and ha1_sha256",
        "config.yaml:5: stations[1].extension: 100 is taken already (config.yaml:4)",
        "config.yaml:8: workgroups[0].members[0]: no station is called alise; did you mean alice?",
        "config.yaml:1: recorder.api_port: TCP port 8443 is used by sip.tls_port already",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("address: [1", "config.yaml:1: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("address: x\naddress: y\n", "config.yaml:2: address: given twice; keep one"),
        ("- a\n- b\n", "config.yaml:1: must be a mapping of keys to values"),
        ("a: &a [x, x]\nb: &b [*a, *a]\n\x00", "config.yaml: not YAML: unacceptable character #x0000"),
    ],
)
def test_what_is_not_a_mapping_in_yaml_is_told_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    assert _faults(tmp_path, text)[0].startswith(fault)


def test_aliases_that_expand_without_end_are_refused(tmp_path: Path) -> None:
    layers = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 9))
    assert "aliases within aliases" in _faults(tmp_path, f"l0: &l0 [1, 2]\n{layers}\n")[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x: 1\na: &a [*a]\n", "config.yaml:2: a: nested more than 50 deep (an alias within itself?)"),
        ("x: " + "[" * 5000, "config.yaml: not YAML: nested too deeply"),
    ],
    ids=["alias", "brackets"],
)
def test_what_nests_without_end_is_a_sentence(tmp_path: Path, text: str, fault: str) -> None:
    assert _faults(tmp_path, text) == [fault]


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read: No such file"):
        load_config(tmp_path / "absent.yaml")


def test_the_first_configuration_is_valid_private_and_never_overwritten(tmp_path: Path) -> None:
    file = write_first_config(tmp_path, "127.0.0.1")
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    assert [station.name for station in load_config(file).controller.stations] == ["100", "101"]
    before = file.read_bytes()
    assert write_first_config(tmp_path, "127.0.0.2") is None
    assert file.read_bytes() == before


def test_a_station_added_by_the_command_line_is_kept_as_hashes_and_can_be_removed(tmp_path: Path) -> None:
    file = write_first_config(tmp_path, "127.0.0.1")
    assert file is not None
    add_station(file, "200", "200", "secret words", "mediaserverd", tmp_path)
    assert load_config(file).controller.stations[-1].extension == "200"
    assert "secret words" not in (tmp_path / "stations.yaml").read_text()
    with pytest.raises(ConfigError, match="100 is taken already"):
        add_station(file, "300", "100", "x", "mediaserverd", tmp_path)
    assert [station.name for station in load_config(file).controller.stations] == ["100", "101", "200"]
    assert remove_station(file, "200", tmp_path)
    assert not remove_station(file, "200", tmp_path)


def test_recordings_are_encrypted_and_become_opus_unless_the_administrator_says_otherwise(tmp_path: Path) -> None:
    head = "address: 10.0.0.1\ndata_directory: data\n"
    media = load_config(_write(tmp_path, head)).media
    assert media.recording == RecordingDefaults(format="sasf", encrypt=True)
    assert media.own.parameters.recording_mime_type_default == "audio/opus"
    chosen = head + "media: {recording_format: wav, encrypt: no, recording_mime_type_default: audio/PCMU}\n"
    media = load_config(_write(tmp_path, chosen)).media
    assert media.recording == RecordingDefaults(format="wav", encrypt=False)
    assert media.own.parameters.recording_mime_type_default == "audio/PCMU"


def test_a_recording_that_cannot_be_kept_as_asked_is_told_with_its_line(tmp_path: Path) -> None:
    head = "address: 10.0.0.1\ndata_directory: data\nmedia:\n"
    assert _faults(tmp_path, head + "  recording_format: wav\n") == [
        "config.yaml:4: media.recording_format: a wav file cannot be encrypted; write encrypt: false too, or keep sasf"
    ]
    [fault] = _faults(tmp_path, head + "  recording_mime_type_default: audio/flac\n")
    assert fault.startswith("config.yaml:4: media.recording_mime_type_default: Input should be 'audio/opus'")


def test_parameters_for_one_controller_are_read_with_their_places_and_bad_ones_refused(tmp_path: Path) -> None:
    text = """\
address: 10.0.0.1
data_directory: data
media:
  dscp: 34
  properties: {rack: "7"}
  controllers:
    berlin:
      parameters: {session_limit: 5}
      properties:
        rack: "8"
"""
    media = load_config(_write(tmp_path, text)).media
    file = tmp_path / "config.yaml"
    assert media.own.origins == {
        "rtp_advertised": f"media server, {file}:1",
        "dscp": f"media server, {file}:4",
        "rack": f"media server, {file}:5",
    }
    berlin = media.per_controller["berlin"]
    assert (berlin.parameters.model_fields_set, berlin.properties) == ({"session_limit"}, {"rack": "8"})
    assert berlin.origins["rack"] == f"media server, for controller berlin, {file}:10"
    wrong = text.replace("session_limit: 5", "sesion_limit: 5, rtp_ports: 1-2").replace('rack: "8"', 'dscp: "8"')
    assert _faults(tmp_path, wrong) == [
        "config.yaml:8: media.controllers.berlin.parameters.rtp_ports: must be LOW-HIGH with 1024 <= LOW < HIGH <= "
        "65535, such as 16384-32767",
        "config.yaml:8: media.controllers.berlin.parameters.sesion_limit: unknown key; did you mean session_limit?",
        "config.yaml:10: media.controllers.berlin.properties.dscp: is the name of a parameter",
    ]


def test_feature_codes_that_cannot_be_told_apart_are_refused_and_others_reach_the_controller(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    base = "address: 10.0.0.1\ndata_directory: data\n"
    file.write_text(f"{base}feature_codes: {{record: '*1', pause: '*12', snip: ''}}\n")
    with pytest.raises(ConfigError, match=r"yaml:3: feature_codes.pause: \*12 and record \(\*1\) cannot be told apart"):
        load_config(file)
    file.write_text(f"{base}feature_codes: {{snip: '', pause: '#9'}}\n")
    assert load_config(file).controller.feature_codes == FeatureCodes("*1", "#9", "")
    file.write_text(f"{base}feature_codes: {{enabled: false}}\n")
    assert load_config(file).controller.feature_codes == FeatureCodes()


def test_a_controller_says_what_it_wants_of_all_media_servers_and_of_one(tmp_path: Path) -> None:
    text = """\
address: 10.0.0.1
data_directory: data
controller: {name: berlin}
recorder: {address: 10.0.0.9}
media_server_defaults:
  parameters: {dscp: 34, session_limit: 100}
  properties: {owner: us}
media_servers:
  - {name: here}
  - name: m2
    address: 10.0.0.2
    parameters:
      session_limit: 50
    ng_token_file: m2.token
"""
    config = load_config(_write(tmp_path, text))
    file, secrets = tmp_path / "config.yaml", tmp_path / "data" / "secrets"
    here, m2 = config.controller.media_servers
    assert (config.controller.name, here.trusted, m2.trusted) == ("berlin", True, False)
    assert (here.url, m2.url) == ("wss://127.0.0.1:2223/", "wss://10.0.0.2:2223/")
    assert (here.token_file, m2.token_file) == (secrets / "ng.token", tmp_path / "m2.token")
    assert m2.parameters == {"dscp": 34, "session_limit": 50}
    assert m2.origins == {
        "dscp": f"controller, all media servers, {file}:6",
        "owner": f"controller, all media servers, {file}:7",
        "session_limit": f"controller, media server m2, {file}:13",
    }
    assert [link.token_file for link in config.recorder.media_servers] == [secrets / "retrieval.token", None]
    assert config.controller.ledger.token_file is None, "our certificate says who we are"
    wrong = text.replace("dscp: 34", "dscp: 99").replace("session_limit: 50", "sesion_limit: 50")
    assert [fault.partition(": ")[0] for fault in _faults(tmp_path, wrong)] == ["config.yaml:13", "config.yaml:6"]


def test_where_audio_runs_is_set_for_a_station_a_line_a_location_and_the_site(tmp_path: Path) -> None:
    text = """address: 10.0.0.1
data_directory: data
audio_path: always-in
locations:
  berlin: {audio_path: dynamic}
stations:
  - {name: alice, extension: "100", password: secret-enough, location: berlin, audio_path: always-in}
lines:
  - {name: trunk, address: 10.0.0.2, fail_open: true}
"""
    settings = load_config(_write(tmp_path, text)).controller
    assert (settings.audio_path, settings.locations["berlin"].audio_path) == ("always-in", "dynamic")
    assert (settings.stations[0].audio_path, settings.lines[0].audio_path) == ("always-in", None)
    assert settings.lines[0].fail_open
    assert _faults(tmp_path, text.replace("berlin: {audio_path: dynamic}", "berlin: {audio_path: direct}")) == [
        "config.yaml:5: locations.berlin.audio_path: Input should be 'dynamic' or 'always-in'"
    ]
    assert _faults(tmp_path, text.replace("berlin: {audio_path", "berlin: {audio-path")) == [
        "config.yaml:5: locations.berlin.audio-path: unknown key; did you mean audio_path?"
    ]
