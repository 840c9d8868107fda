-- What one person used, however much others did: the home tab and /anchorhold usage ask for it.
CREATE INDEX usage_by_user ON usage (tenant_id, user_id, at);
