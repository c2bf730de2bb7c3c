# The images of the services in Rust: `docker build --target backend .`, `--target replay`,
# `--target frontend`.

# --- The sources without their contents: what decides which dependencies are compiled, and how.
FROM rust:1.95-bookworm AS manifests
WORKDIR /src
COPY . .
RUN rm -rf data frontend/static frontend/templates \
 && find crates frontend -name '*.rs' ! -path '*/src/lib.rs' ! -path '*/src/main.rs' ! -path '*/benches/*' \
      ! -name build.rs -delete \
 && find crates frontend -name '*.rs' | while read -r file; do echo 'fn main() {}' >"$file"; done \
 && find crates frontend -type d -empty -delete

# --- The programs.
FROM rust:1.95-bookworm AS build
# protobuf-compiler: the messages of Triton. npm: what the web pages load, which the binary embeds.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends npm protobuf-compiler \
 && rm -rf /var/lib/apt/lists/*
# How many compilers run at once: each may want a gigabyte.
ARG JOBS=default
ARG BUILD="cargo build --release --locked --package backend --package frontend --package replay"
WORKDIR /src
# A layer that lasts until a manifest changes.
COPY --from=manifests /src .
RUN $BUILD --jobs "$JOBS"
COPY . .
# The sources are older than what was just built from their stubs, and cargo goes by that.
RUN find crates frontend -name '*.rs' -exec touch {} + \
 && $BUILD --jobs "$JOBS"

# --- What every service runs on.
FROM debian:bookworm-slim AS base
# ca-certificates: Telegram. tzdata: LOG_TZ.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home foreshock
WORKDIR /app
USER foreshock

FROM base AS replay
COPY --from=build /src/target/release/replay /usr/local/bin/
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=10s --retries=3 --start-period=30s CMD ["replay", "healthcheck"]
CMD ["replay"]

FROM base AS frontend
COPY --from=build /src/target/release/frontend /usr/local/bin/
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=10s --retries=3 --start-period=30s CMD ["frontend", "healthcheck"]
CMD ["frontend"]

FROM base AS backend
# For what is to outlive the container. A volume that is mounted here takes over whose it is.
USER root
RUN install --directory --owner foreshock --group foreshock db
USER foreshock
ENV LINKS_DB=/app/db/links.db DB_PATH=/app/db/subscribers.db
COPY --from=build /src/target/release/backend /usr/local/bin/
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=10s --retries=3 --start-period=30s CMD ["backend", "healthcheck"]
CMD ["backend"]
