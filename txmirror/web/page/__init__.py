"""The page for people at ``/``: its HTML, its style and its script.

The script follows ``/v1/events``. Without it, a browser shows a table of the services.
"""

from txmirror.web.page.mounting import mount_page
from txmirror.web.page.template import MOST_ROWS, PageContent, ServiceRow

__all__ = ["MOST_ROWS", "PageContent", "ServiceRow", "mount_page"]
