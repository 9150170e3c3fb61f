"""The application under the name by which servers import it: some of them know no factories."""

from __future__ import annotations

import os

from server_survey.application import application
from server_survey.servers import KEYRING

app = application(os.environ[KEYRING])
