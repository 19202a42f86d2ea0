"""``python -m airflow_pop3_gateway``."""

import sys

from airflow_pop3_gateway.cli import main

sys.exit(main())
