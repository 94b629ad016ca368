"""Settings: typed, checked, each with its source; a typo is an error."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from appliance.config import SECTIONS, Config, load
from appliance.config.checks import RANGES
from appliance.errors import ConfigurationError

STATE = Path("/srv/appliance")


def settings(tmp_path: Path, text: str = "", **environment: str) -> Config:
    """Load a file with this text, under these variables alone."""
    file = tmp_path / "appliance.toml"
    file.write_text(text)
    return load(STATE, file=file, environment=environment)


def test_defaults_hold_without_file_or_variables(tmp_path: Path) -> None:
    """And they are the safe ones: loopback alone, 10 minutes idle, 12 hours at most."""
    config = load(STATE, file=tmp_path / "none.toml", environment={})
    assert (config.gateway.host, config.gateway.behind_tls) == ("127.0.0.1", False)
    assert (config.gateway.session_idle_s, config.gateway.session_absolute_s) == (600, 43_200)
    assert set(config.provenance.values()) == {"built-in default"}


def test_the_file_overrides_defaults(tmp_path: Path) -> None:
    """The source of a value is the file's path."""
    config = settings(tmp_path, "[gateway]\nport = 9000\n")
    assert config.gateway.port == 9000
    assert config.provenance["gateway.port"] == str(tmp_path / "appliance.toml")
    assert config.provenance["gateway.host"] == "built-in default"


def test_variables_override_the_file(tmp_path: Path) -> None:
    """The source of a value is the variable's name."""
    config = settings(tmp_path, "[gateway]\nport = 9000\n", APPLIANCE_GATEWAY__PORT="9001")
    assert config.gateway.port == 9001
    assert config.provenance["gateway.port"] == "APPLIANCE_GATEWAY__PORT"


def test_the_port_has_a_short_name(tmp_path: Path) -> None:
    """`APPLIANCE_PORT` is what `make run` documents."""
    assert settings(tmp_path, APPLIANCE_PORT="9002").gateway.port == 9002


@pytest.mark.parametrize("name", ["PATH", "APPLIANCE_STATE", "OTHER_GATEWAY__PORT"])
def test_other_variables_are_left_alone(tmp_path: Path, name: str) -> None:
    """Only the pattern APPLIANCE_SECTION__KEY is ours."""
    assert settings(tmp_path, **{name: "x"}) == settings(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gateway]\nprot = 1\n", r"no setting gateway\.prot"),
        ("[gatewy]\nport = 1\n", r"no setting gatewy\.port"),
        ("port = 1\n", "port must be a \\[section\\]"),
        ("[gateway]\nport = '80'\n", "gateway.port must be int"),
        ("[gateway]\nport = true\n", "gateway.port must be int"),
        ("[gateway]\nport = 80.0\n", "gateway.port must be int"),
        ("[gateway]\nbehind_tls = 1\n", "gateway.behind_tls must be bool"),
        ("[gateway\n", "appliance.toml"),
        ("[gateway]\nport = 1\nport = 2\n", "appliance.toml"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    """With the file, so that it can be mended; nothing starts on a guess."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        settings(tmp_path, text)
    assert "appliance.toml" in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APPLIANCE_GATEWAY__PROT", "1"),
        ("APPLIANCE_NOTHING__PORT", "1"),
        ("APPLIANCE_GATEWAY__PORT", "eighty"),
        ("APPLIANCE_GATEWAY__PORT", ""),
        ("APPLIANCE_GATEWAY__BEHIND_TLS", "yes"),
    ],
)
def test_a_mistake_in_a_variable_is_named(tmp_path: Path, name: str, value: str) -> None:
    """With the variable's name."""
    with pytest.raises(ConfigurationError, match=name):
        settings(tmp_path, **{name: value})


def test_lists_come_from_file_and_variable(tmp_path: Path) -> None:
    """A TOML list, or text with commas."""
    from_file = settings(tmp_path, '[policy]\npurposes = ["treatment", "audit"]\n')
    assert from_file.policy.purposes == ("treatment", "audit")
    from_variable = settings(tmp_path, APPLIANCE_POLICY__PURPOSES="treatment,audit")
    assert from_variable.policy.purposes == ("treatment", "audit")


@pytest.mark.parametrize("item", ["1", "[]", "true", '""'])
def test_a_list_holds_text_alone(tmp_path: Path, item: str) -> None:
    """A number in it would fail much later, in the record."""
    with pytest.raises(ConfigurationError, match="must be a list of texts"):
        settings(tmp_path, f'[policy]\npurposes = ["treatment", {item}]\n')


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gateway.port", 0),
        ("gateway.port", 65_536),
        ("gateway.session_idle_s", 3_601),
        ("gateway.session_absolute_s", 43_201),
        ("gateway.lockout_failures", 1_000),
        ("gateway.api_key_days", 0),
        ("engine.threads", -1),
        ("ledger.max_group", 0),
    ],
)
def test_a_value_must_lie_in_its_range(tmp_path: Path, key: str, value: int) -> None:
    """No setting turns a protection off: the limits have limits."""
    section, name = key.split(".")
    with pytest.raises(ConfigurationError, match=rf"{section}\.{name} must lie between"):
        settings(tmp_path, f"[{section}]\n{name} = {value}\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gateway.local", ""])  # noqa: S104
def test_an_open_address_needs_tls_in_front(tmp_path: Path, host: str) -> None:
    """Passwords do not cross a network in the clear."""
    with pytest.raises(ConfigurationError, match="in the clear"):
        settings(tmp_path, APPLIANCE_GATEWAY__HOST=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_tls(tmp_path: Path, host: str) -> None:
    """The machine itself may speak to itself."""
    assert settings(tmp_path, APPLIANCE_GATEWAY__HOST=host).gateway.host == host


def test_behind_tls_any_address_will_do(tmp_path: Path) -> None:
    """The edge is then the only one that can reach it."""
    text = '[gateway]\nhost = "0.0.0.0"\nbehind_tls = true\n'
    assert settings(tmp_path, text).gateway.host == "0.0.0.0"  # noqa: S104


def test_the_default_purpose_is_one_of_the_purposes(tmp_path: Path) -> None:
    """Otherwise every question would be refused."""
    with pytest.raises(ConfigurationError, match="default_purpose"):
        settings(tmp_path, APPLIANCE_POLICY__PURPOSES="audit")


@pytest.mark.parametrize("purposes", ["", "Complaint", "a b", "-x", "x" * 41])
def test_purposes_of_reading_are_words_of_a_list(tmp_path: Path, purposes: str) -> None:
    """They are recorded for ever, so a setting cannot make free text of them."""
    with pytest.raises(ConfigurationError, match=r"policy\.record_purposes"):
        settings(tmp_path, APPLIANCE_POLICY__RECORD_PURPOSES=purposes)


def test_a_state_folder_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    """The kernel would refuse later, with a message that nobody understands."""
    with pytest.raises(ConfigurationError, match="too long for the sockets"):
        load(Path("/" + "d" * 100), file=tmp_path / "none.toml", environment={})


def test_every_setting_has_a_source() -> None:
    """`appliance config show` leaves none out."""
    config = load(STATE, file=Path("/nonexistent"), environment={})
    for section, kind in SECTIONS.items():
        assert {f"{section}.{item.name}" for item in fields(kind)} <= set(config.provenance)


def test_paths_lie_inside_the_state_folder() -> None:
    """Nothing is kept elsewhere, so that a backup and an end of use have one place."""
    paths = load(STATE, file=Path("/nonexistent"), environment={}).paths
    names = [name for name in dir(type(paths)) if isinstance(getattr(type(paths), name), property)]
    assert len(names) > 5
    assert all(getattr(paths, name).is_relative_to(STATE) for name in names)


def test_every_number_has_a_range() -> None:
    """A new setting cannot be forgotten there."""
    numbers = {
        f"{section}.{item.name}"
        for section, kind in SECTIONS.items()
        for item in fields(kind)
        if type(getattr(kind(), item.name)) is int
    }
    assert set(RANGES) == numbers


@pytest.mark.parametrize("section", ["ledger", "engine"])
def test_sockets_may_lie_in_a_folder_of_their_own(tmp_path: Path, section: str) -> None:
    """Those of that part alone; by default they lie in the state folder."""
    assert settings(tmp_path).paths.ledger_socket == STATE / "run" / "ledger.sock"
    assert settings(tmp_path).paths.engines == STATE / "run" / "engines"
    config = settings(tmp_path, f'[{section}]\nsocket_folder = "/run/shared"\n')
    shared = {path for path in (config.paths.ledger_socket, config.paths.engine_socket)
              if path.parent == Path("/run/shared")}  # fmt: skip
    assert {path.stem for path in shared} == {section}
    assert (config.paths.engines.parent == Path("/run/shared")) is (section == "engine")


@pytest.mark.parametrize("section", ["ledger", "engine"])
@pytest.mark.parametrize("folder", ["run/shared", "/" + "a" * 100])
def test_a_folder_of_sockets_that_cannot_be_used_is_refused(
    tmp_path: Path, section: str, folder: str
) -> None:
    """A relative one, and one whose sockets would have an address of more than 107 bytes."""
    with pytest.raises(ConfigurationError, match=r"absolute|too long"):
        settings(tmp_path, f'[{section}]\nsocket_folder = "{folder}"\n')
