"""POP3 mailboxes as a trustworthy data source for Apache Airflow.

The rooms, in the order they may know each other::

    errors  records/  config             the words everyone shares; what is written down
    partners  windows                    parts of a site: who sends protected mail, when it is polled
    pop3/                                the protocol: pure thought, then two ways to wait
    mail/                                understanding a mail while it streams
    acks/  smime/                        receipts: build, parse, match; S/MIME put on and taken off
    store/                               what is written where, and in which order
    gateway/                             the use cases: retrieve, classify, acknowledge, send, …
    hooks/                               an Airflow Connection becomes a site, a client, a relay
    triggers/ assets  uris               what waits for mail in the triggerer, and what DAGs are scheduled on
    operators/ sensors/                  parameters in, one call down
    ui/ plugin                           the page *POP3 Gateway* inside Airflow's UI
    sdk                                  all that a DAG needs, importable from one place
    cli  verbs/                          ``airflow pop3-gateway`` and ``python -m airflow_pop3_gateway``
    testing/ demo/                       servers and letters to practise on; the tour

Importing this package imports nothing else.
"""

__version__ = "0.1.0"
