-- Whole answers of models that may be given again.
CREATE TABLE response_cache (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    -- SHA-256 over whose it is and all that was asked, hex
    key TEXT NOT NULL,
    response BLOB NOT NULL,
    -- Milliseconds since 1970.
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key)
) WITHOUT ROWID;
CREATE INDEX response_cache_by_expiry ON response_cache (tenant_id, expires_at);
