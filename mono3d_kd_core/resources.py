"""Files that come with the package: recipes, parameters, rig files, small models."""

from __future__ import annotations

from pathlib import Path

from mono3d_kd_core.errors import DataError

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """Return the path of a file or folder of the repository, such as `config/recipes/keypoint.yaml`.

    It is looked for beside the sources, which is where an editable install and `colcon build --symlink-install` have it,
    and then in share/mono3d_kd of the prefix into which pip or colcon installed the package.
    """
    source = _PACKAGE.parent
    places = [source] if (source / "package.xml").is_file() else []
    places += [prefix / "share" / "mono3d_kd" for prefix in _PACKAGE.parents]
    for place in places:
        if (place / name).exists():
            return place / name
    raise DataError(f"{name} does not come with this installation of mono3d_kd (looked beside {_PACKAGE} and in share/)")


def config_dir() -> Path:
    """Return the folder of recipes, parameters and models that come with the package."""
    return resource("config")
