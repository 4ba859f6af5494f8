# The three services, each an image of its own: docker build --target vote|worker|result .
# Needs BuildKit. The programs are compiled here; with `--build-arg PROGRAMS=prebuilt` they come from target/programs/amd64
# or arm64, where `.ci/images` and the release workflow put what is compiled already.

# Tags, so that any machine can build. Releases are built with the digests of .github/base-images/Dockerfile.
ARG RUST_IMAGE=rust:1.95-slim-trixie
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13:nonroot
ARG PROGRAMS=build
# Where a bill of materials is asked for, it lists the crates in Cargo.lock, too.
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true

# hadolint ignore=DL3006
FROM ${RUST_IMAGE} AS build
WORKDIR /source
# Not `COPY . .`: a program that is put into target/programs would count as a change of the sources.
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY shared shared
COPY vote vote
COPY worker worker
COPY result result
COPY load load
COPY tests tests
COPY benches benches
ARG REVISION=unknown
ENV REVISION=${REVISION}
# Cargo reads it. Checks set it to 0, which compiles in less than half the time.
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL
# The caches keep the dependencies and their compiled form from one build to the next.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --release --locked --package vote --package worker --package result \
    && mkdir /out \
    && cp target/release/vote target/release/worker target/release/result /out/

# The compiled programs alone, for other builds: docker build --target compiled --output FOLDER .
FROM scratch AS compiled
COPY --from=build /out /

FROM scratch AS prebuilt
ARG TARGETARCH
COPY target/programs/${TARGETARCH} /out

# hadolint ignore=DL3006
FROM ${PROGRAMS} AS programs

# Certificates, time zones, libc and a user without rights; no shell, no package manager.
# hadolint ignore=DL3006
FROM ${RUNTIME_IMAGE} AS runtime
ARG REVISION=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.vendor="The voting-app contributors" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
ENV LOG_FORMAT=json
USER 65532:65532
# What a service would keep in memory only, it is given by its settings: nothing is written in the image.
WORKDIR /

FROM runtime AS vote
LABEL org.opencontainers.image.title="vote" \
      org.opencontainers.image.description="The voting page and its API"
COPY --from=programs /out/vote /usr/local/bin/vote
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["vote", "healthcheck"]
ENTRYPOINT ["vote"]

FROM runtime AS worker
LABEL org.opencontainers.image.title="worker" \
      org.opencontainers.image.description="Moves ballots from the queue into the store"
COPY --from=programs /out/worker /usr/local/bin/worker
EXPOSE 8082
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["worker", "healthcheck"]
ENTRYPOINT ["worker"]

FROM runtime AS result
LABEL org.opencontainers.image.title="result" \
      org.opencontainers.image.description="The live result page and its API"
COPY --from=programs /out/result /usr/local/bin/result
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["result", "healthcheck"]
ENTRYPOINT ["result"]
