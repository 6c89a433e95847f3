"""Sphinx's settings. The build uses ``-n -W``: a broken reference is an error."""

import sys
from pathlib import Path

from txmirror import __version__

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "txmirror"
author = "The txmirror developers"
copyright = "The txmirror developers"
release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinxcontrib.zopeext.autointerface",
    "sphinx_copybutton",
    "sphinxcontrib.towncrier.ext",
    "charts",
    "lines",
    "drawings",
    "errors_table",
    "full_docstrings",
    "keys",
    "metrics_table",
    "registration_life",
    "routes_table",
    "shared_paths",
    "short_names",
    "whole_files",
]
exclude_patterns = ["_build"]

# A member without a docstring has its interface's; where there is none, full_docstrings warns.
autodoc_default_options = {"undoc-members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"

# The build fetches no inventories of other projects, so references to names of Twisted and Python stay plain text.
nitpick_ignore_regex = [
    ("py:.*", r"(twisted|zope|attrs?|collections|typing|contextlib|enum|pathlib|asyncio|random)\..*"),
    ("py:class", r"<InterfaceClass .*"),
    # Short names in signatures: another project's, an interface that stands on this page by its full name, and the
    # mirror's and the embedded server's own.
    (
        "py:class",
        r"IReactorTime|IReactorTCP|Random|IZooKeeperClient|ITransaction|IMetrics|IPayloadCodec|IRegistryLock|IServiceProvider|IStrategy|Where|TokenBucket|IWriteLimit|NodeFamily|Record|ViewedCache|Branch|Notifier|Place|Contender|TakenNode|Held|(.*\.)?NumberT|Job|txmirror\.mirror\.stream\.Values|txmirror\.recipes\.partitioner\.ShareChanges",
    ),
    (
        "py:class",
        r"IDelayedCall|ServerState|EnsembleState|Version|Session|Tree|Address|_LazyT_co|Deferred|Where|MakeProvider|WatchedTree|Entries|(.*\.)?_(T|T_co|K|WrappedT_co|WrapperT)",
    ),
    (
        "py:class",
        r"LinkReactor|Headers|IAgent|IPolicyForHTTPS|IStreamServerEndpoint|IListeningPort|IProtocolFactory|MakeProvider|IResource|Path|Mount|Replied",
    ),
    # The parts of an entry that only a queue makes; the counter's overloads, which are shown with their full names.
    (
        "py:class",
        r"Contender|Held|Place|TakenNode|txmirror\.recipes\.counter\.NumberT|_DeferringValues|txmirror\.aio\.(client\.ZooKeeperClient|mirror\.Mirror|partitioner\.ShareChanges|recipes\.Leadership)",
    ),
    # The classes of the daemon's file: its keys are on a page of their own.
    (
        "py:class",
        r"(txmirror\.(machine|configuration\.(model|difference|watches|dns|http))\.)?(Configuration|ZooKeeper|Host|Daemon|Service|Change|Machine|MakeClient|Watch|DNS|HTTPServer)|txmirror\.service\.counts\.SessionCounts",
    ),
    ("py:class", r"txmirror\.catalog\.catalog\.Catalog"),
    ("py:class", r"Job|txmirror\.recipes\.partitioner\.ShareChanges"),
    ("py:class", r"txmirror\.embedded\.faults\.Effect|txmirror\.wire\.operations\.Operation"),
]

html_theme = "furo"
html_title = f"txmirror {release}"
html_use_index = False
html_copy_source = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
# Modules stand in the list of pages.
html_domain_indices = False
# Prompts are not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The news of the next version, from their fragments.
towncrier_draft_autoversion_mode = "draft"
towncrier_draft_include_empty = False
towncrier_draft_working_directory = Path(__file__).parent.parent

# Links within the site are checked in the built pages. Others need a network.
linkcheck_ignore = [r"https?://"]
