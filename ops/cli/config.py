"""`sightline config`: show and check the settings."""

from dataclasses import asdict

import typer

from ops.terminal import JsonOption, print_rows
from sightline.runtime.settings import load_settings

app = typer.Typer(name="config", help="The settings of this installation.", no_args_is_help=True)


@app.command("show")
def _show(as_json: JsonOption = False) -> None:
    """List every setting with its value and its source; secrets are hidden."""
    from sightline.runtime.settings.provenance import list_settings  # noqa: PLC0415 - --help loads little

    print_rows(list_settings(load_settings()), title="Settings", as_json=as_json)


@app.command("check")
def _check(as_json: JsonOption = False) -> None:
    """Test the settings: secrets, files, servers, models. Exits with 1 if a test fails."""
    from ops.config_check import check_config  # noqa: PLC0415

    findings = check_config(load_settings())
    print_rows(list(map(asdict, findings)), title="What is set", as_json=as_json)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)
