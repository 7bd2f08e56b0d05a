"""Is this machine ready for the course? python -m helpers.check_environment

Prints one line per package (installed version, tested range), what the machine has, and a verdict; exit status 1 if something
is missing. Paste its output into a report of a problem.
"""

import importlib.metadata
import os
import platform
import shutil
import sys

from helpers.paths import ROOT

INSTALL = f"install with: {sys.executable} -m pip install -r requirements.txt"
try:
    from packaging.requirements import Requirement
except ModuleNotFoundError:
    sys.exit(f"missing: packaging, and perhaps all; {INSTALL}")


def package_lines() -> list[tuple[str, str, str, bool]]:
    """(package, installed version or 'missing', tested range, within the range) for each line of requirements.txt."""
    found = []
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if wanted := line.split("#")[0].strip():
            requirement = Requirement(wanted)
            try:
                version = importlib.metadata.version(requirement.name) or "missing"  # None: half removed
            except importlib.metadata.PackageNotFoundError:
                version = "missing"
            good = version != "missing" and requirement.specifier.contains(version, prereleases=True)
            found.append((requirement.name, version, str(requirement.specifier), good))
    return found


def main() -> None:
    packages = package_lines()
    for name, version, tested, good in packages:
        print(f"{name:14} {version:16} tested: {tested:20} {'ok' if good else 'OUTSIDE'}")
    print(f"\nPython {platform.python_version()} on {platform.platform()}, {os.cpu_count()} CPU cores")
    print(f"free disk here: {shutil.disk_usage(ROOT).free / 1e9:.0f} GB")
    missing = [name for name, version, _, _ in packages if version == "missing"]
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; {INSTALL}")
    import torch  # only now is it known to be there

    from helpers.models import shipped_organisms

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none (not needed for the shipped models)"
    print(f"GPU: {gpu}")
    print(f"shipped models: {', '.join(shipped_organisms())}")
    outside = [name for name, _, _, good in packages if not good]
    print(f"works, but untested with this {', '.join(outside)}" if outside else "ready")


if __name__ == "__main__":
    main()
