# The host and the agents that come with it, configured by the environment alone:
#
#   docker build -t anchorhold .
#   docker run -p 8080:8080 -v anchorhold-data:/data anchorhold
#
# Agents of your own: mount a folder over /plugins, or upload them through the API.

ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /src
RUN rustup target add wasm32-wasip2
COPY . .
RUN cargo build --locked --release --package anchorhold \
 && cargo --locked xtask guests --agents /out/plugins \
 && install -D target/release/anchorhold /out/anchorhold \
 && mkdir /out/data

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Anchorhold" \
      org.opencontainers.image.description="AI agents as sandboxed WebAssembly components" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"

# The certificates of the build stage, since this one has none and needs nothing else of apt.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/anchorhold /usr/local/bin/
COPY --from=build /out/plugins /plugins
COPY --from=build --chown=10001:10001 /out/data /data

# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /data
# PORT makes it listen on all addresses, and is what platforms set.
ENV PORT=8080 \
    ANCHORHOLD_STORAGE__DATA_DIR=/data \
    ANCHORHOLD_REGISTRY__PLUGINS_DIR=/plugins
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["anchorhold", "doctor"]
ENTRYPOINT ["anchorhold"]
CMD ["serve"]
