"""An Airflow Connection becomes a site, a client, a relay or a store; below this room nothing knows of Airflow."""
