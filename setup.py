"""The build of txmirror and its dependencies. The settings of the tools are in pyproject.toml."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from setuptools import Distribution, find_packages, setup

TREE = Path(__file__).parent
# The public address of the folder of this file, with a slash at the end; None as long as there is none. RELEASING.rst has more.
FILES_URL: str | None = None

TLS = ["twisted[tls]>=24.7", "service-identity>=23.1"]
SASL = ["pure-sasl>=0.6"]
# For the daemon's checks by HTTP and its templates. treq needs cryptography and requests, so a plain installation does without them.
DAEMON = ["treq>=24.9", "jinja2>=3.1", *TLS]
TXZOOKEEPER = ["txzookeeper==0.9.8", "fissix>=24.4"]
PYTEST = ["pytest>=7.0"]
# The answers by HTTP are compared with their description, and parsed by Envoy's definitions. One Python does so: they are large.
OPENAPI = ["openapi-core>=0.19", "xds-protos>=1.70"]
TEST = ["kazoo>=2.9", "aiozk>=0.32", "hypothesis>=6.100", *TLS, *SASL, *DAEMON, *TXZOOKEEPER, *PYTEST]
# The rules of ruff and mypy change with each release, so we pin them.
LINT = ["ruff==0.17.*", "import-linter==2.*"]
# mypy checks for Python 3.10, where tomli takes the place of tomllib.
TYPES = ["mypy==2.4.*", "mypy-zope==1.0.*", "pyright[nodejs]==1.1.414", "tomli>=2.0", "types-docutils"]
DOCS = [
    "sphinx>=7",
    "sphinxcontrib-zopeext>=0.4",
    # It has only preliminary releases.
    "sphinxcontrib-towncrier>=0.5.0a0",
    "furo>=2024.8",
    "sphinx-copybutton>=0.5",
    "towncrier>=23.11",
    *DAEMON,
]


def describe() -> str:
    """Return README.rst as an index shows it, where relative links would lead nowhere.

    They lead to ``FILES_URL``; without one they are plain text.
    """

    def replace(link: re.Match[str]) -> str:
        text, target = link.groups()
        if "://" in target:
            return link[0]
        return text if FILES_URL is None else f"`{text} <{FILES_URL}{target}>`_"

    return re.sub(r"`([^`<]+?)\s+<([^`>]+)>`_", replace, (TREE / "README.rst").read_text(encoding="utf-8"))


def find_version() -> str:
    """Return the version of the package, which is not imported for it."""
    found = re.search(r'^__version__ = "(.+)"$', (TREE / "txmirror" / "__init__.py").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def find_urls() -> dict[str, str]:
    """Return the addresses that an index shows."""
    return {} if FILES_URL is None else {"Source": FILES_URL}


#: setuptools has this command in no public module.
_InstallData: Any = Distribution().get_command_class("install_data")


class InstallShare(_InstallData):
    """Make the manual pages and the completion scripts, and install them."""

    def run(self) -> None:
        """Make the files, and install them."""
        folder = Path(self.get_finalized_command("build").build_base, "share")
        subprocess.run([sys.executable, TREE / "tools" / "share.py", folder], check=True)
        self.data_files = [
            (str(each.parent.relative_to(folder.parent)), [str(each)])
            for each in sorted(folder.rglob("*"))
            if each.is_file()
        ]
        super().run()


setup(
    name="txmirror",
    version=find_version(),
    description="ZooKeeper nodes mirrored in live Python objects, and a service registry on them, for Twisted",
    long_description=describe(),
    long_description_content_type="text/x-rst",
    project_urls=find_urls(),
    author="The txmirror developers",
    license_expression="MIT",
    license_files=["LICENSE"],
    keywords=["zookeeper", "twisted", "service discovery", "service registry", "coordination"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: AsyncIO",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    install_requires=[
        "twisted>=24.7",
        "zope.interface",
        "hyperlink",
        "attrs>=22.2",
        "cattrs>=23.1.1",
        "click>=8.1",
        "klein>=23.12",
        "werkzeug>=3.0",
        "prometheus-client>=0.16",
        "pyyaml>=6.0",
        "tomli>=2.0; python_version<'3.11'",
    ],
    extras_require={
        "tls": TLS,
        "sasl": SASL,
        "daemon": DAEMON,
        "txzookeeper": TXZOOKEEPER,
        "pytest": PYTEST,
        "openapi": OPENAPI,
        "test": TEST,
        "lint": LINT,
        "types": TYPES,
        "docs": DOCS,
        "dev": [*TEST, *OPENAPI, *LINT, *TYPES, *DOCS, "tox>=4.4", "towncrier", "build"],
    },
    # twisted/plugins must not have an __init__.py, so find_packages does not find it.
    packages=[*find_packages(include=["txmirror", "txmirror.*"]), "twisted.plugins"],
    # This makes an editable install use a path file instead of an import hook, so that twistd finds the plugin.
    package_dir={"": "."},
    package_data={"txmirror": ["py.typed", "data/*", "web/page/page.*"]},
    # A build makes the files. setuptools asks whether there are any, so it has the folder.
    data_files=[("share", [])],
    cmdclass={"install_data": InstallShare},
    entry_points={
        "console_scripts": ["txmirror = txmirror.cli:main"],
        # pytest imports this module in every run if the package is installed.
        "pytest11": ["txmirror = txmirror.testing.pytest_plugin"],
    },
    zip_safe=False,
)
