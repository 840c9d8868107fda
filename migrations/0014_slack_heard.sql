-- What came from Slack, by its name in the app's manifest, and when it did last (within a minute).
CREATE TABLE slack_heard (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
