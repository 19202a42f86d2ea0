"""The letter on the table: a mail is understood while it streams, in bounded memory and bounded depth.

Everything about the content of a mail is decided here; nothing here knows POP3, storage or Airflow. Dirt becomes a
:class:`~airflow_pop3_gateway.records.Defect` on the result, a passed bound a rejection, never a crash.

========== ==========================================================================
words      bytes of a header become text: charsets, encoded words, parameters, addresses
headers    the header block, the identity of a mail, the ``//XFB`` subject
parts      one node of the structure
mime       push parser: parts and their octets, at any chunking
encodings  incremental transfer decoders
names      file names that are safe to store; what the first octets look like
classify   the Gateway's table and our decisions for its silent cases, as data
account    what is written down of one part; ``files`` and ``text``: where its octets go
evidence   what was signed, and the signature
unpack     files within a part: ``tnef``, uuencode; ``zips`` where they are wanted
handler    what the parser tells becomes what the mail is
extract    the whole: :func:`~airflow_pop3_gateway.mail.extract.understand`; ``understanding``: its two ends
========== ==========================================================================
"""
