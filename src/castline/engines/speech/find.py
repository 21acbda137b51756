"""Finds the speech engines' models on this machine: in the models folder, or in an installed package.

Loads and downloads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from castline.engines.base import EngineInfo
from castline.engines.speech.declared import MODELS, Family, families
from castline.errors import ModelCorrupt
from castline.weights.packages import PACKAGES, packaged


@dataclass(frozen=True, slots=True)
class Found:
    """A model on this machine.

    Attributes:
        model: its name, which is not always part of the file's name.
        package: the installed package that carries it; empty for a separate file or folder.
    """

    family: Family
    model: str
    path: Path
    package: str = ""

    @property
    def where(self) -> str:
        return f"embedded, in the package {self.package}" if self.package else "in the models folder"


@dataclass(frozen=True, slots=True)
class Search:
    """The models from which ``auto`` chooses.

    Attributes:
        found: best first: those in the models folder, then those in packages.
        damaged: errors of installed packages that are damaged.
    """

    found: tuple[Found, ...]
    damaged: tuple[ModelCorrupt, ...]

    @property
    def best(self) -> Found | None:
        return self.found[0] if self.found else None


def search(models_dir: Path) -> Search:
    """Every ranked engine's best model in the models folder, in the order of engines, then all those in packages."""
    installed = [family for family in families() if family.rank is not None and family.installed()]
    found = [here for family in installed if (here := in_folder(family, models_dir))]
    damaged: list[ModelCorrupt] = []
    for family in installed:
        for model in _in_packages(family):
            try:
                carried = in_package(family, model)
            except ModelCorrupt as error:
                damaged.append(error)
                continue
            found += [carried] if carried else []
    return Search(tuple(found), tuple(damaged))


def find_model(family: Family, models_dir: Path) -> Path | None:
    """The best model of a family in the models folder; None if there is none."""

    def rank(path: Path) -> tuple[int, str]:
        model = family.model(path.name)
        return (MODELS.index(model) if model in MODELS else len(MODELS), path.name)

    found = models_dir.glob(family.file("*"))
    return min((path for path in found if family.is_there(path)), key=rank, default=None)


def in_folder(family: Family, models_dir: Path) -> Found | None:
    path = find_model(family, models_dir)
    return Found(family, family.model(path.name), path) if path else None


def in_package(family: Family, model: str) -> Found | None:
    """A model that an installed package carries.

    Raises:
        ModelCorrupt: as ``packaged``.
    """
    name = f"{family.id}:{model}"
    path = packaged(name)
    return Found(family, model, path, PACKAGES[name].distribution) if path else None


def _in_packages(family: Family) -> list[str]:
    """Models of a family that packages may carry, best first."""
    models = (name.partition(":")[2] for name in PACKAGES if name.startswith(f"{family.id}:"))
    return sorted(models, key=MODELS.index)


def best_of(family: Family, models_dir: Path) -> Found | None:
    """A family's best model: in the models folder, or if that has none, in a package.

    Raises:
        ModelCorrupt: only a package has one, and it is damaged.
    """
    carried = (found for model in _in_packages(family) if (found := in_package(family, model)))
    return in_folder(family, models_dir) or next(carried, None)


def survey(family: Family, models_dir: Path) -> EngineInfo:
    """An engine with where its model would come from. No source: not available, and the reason says why."""
    if not family.installed():
        how = f": pip install 'castline[{family.info.extra}]'" if family.info.extra else ""
        return replace(family.info, reason=f"{family.id} is not installed{how}")
    try:
        found = best_of(family, models_dir)
    except ModelCorrupt as error:
        return replace(family.info, reason=error.message)
    if found:
        source = "bundled" if found.package else str(found.path)
        return replace(family.info, source=source, reason=f"{found.model}, {found.where}")
    packages = [PACKAGES[f"{family.id}:{model}"].distribution for model in _in_packages(family)]
    absent = f", and the package {' or '.join(packages)} is not installed" if packages else ""
    return replace(family.info, reason=f"its weights are not in {models_dir}{absent}")
