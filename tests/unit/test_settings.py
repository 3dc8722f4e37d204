"""Settings that are handed to another command are the same there."""

from dataclasses import fields
from pathlib import Path

from trivet.settings import Settings, read_settings, settings_from_json, settings_to_environ, settings_to_json

ALL = Settings(
    home=Path("/a home"),
    offline=True,
    trust_native=True,
    native_call_mib=64.0,
    wheels=Path("/wheels"),
    max_body_mib=0.5,
    max_held_mib=8.5,
    client_timeout_s=9.0,
    max_waiting=3,
    load_timeout_s=1.5,
    stop_delay_s=2.0,
    drain_s=4.0,
    gateway_hang_s=7.0,
    host="0.0.0.0",
    port=1,
    http_port=2,
    hosts=("one", "two"),
    tls_cert=Path("/cert"),
    tls_key=Path("/key"),
    database_url="sqlite:///x",
    blob_url="file:///y",
    max_upload_mib=5.0,
    inference_log_mib=0.0,
    inference_log_days=6.0,
    access_log=True,
    sandbox="required",
    worker_read=(Path("/data/weights"), Path("/data/more")),
    worker_network="none",
    requirements_required=False,
    stand_in=True,
    source_builds=False,
    cuda_packages="always",
    proof_tolerance=1e-3,
)


def test_variables_give_another_command_the_same_settings() -> None:
    default = Settings(home=Path("/home"))
    assert [each.name for each in fields(Settings) if getattr(ALL, each.name) == getattr(default, each.name)] == []
    for settings in (ALL, default):
        assert read_settings(settings_to_environ(settings)) == settings


def test_json_gives_another_process_the_same_settings() -> None:
    assert settings_from_json(settings_to_json(ALL)) == ALL
