"""All access to ClickHouse: the client, the tables, the partition writer and the SQL."""
