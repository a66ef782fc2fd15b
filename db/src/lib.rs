//! PostgreSQL: rows, queries, migrations, pools, the private server.
