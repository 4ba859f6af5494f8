# One image for each of the three services: docker build --target vote|worker|result .
# Needs BuildKit. The build compiles the programs; with `--build-arg PROGRAMS=prebuilt` it copies compiled programs from
# target/programs/amd64 or arm64, where `.ci/images` and the release workflow put them.

# Tags, so that any machine can build. Releases use the digests in .github/base-images/Dockerfile.
ARG RUST_IMAGE=rust:1.95-slim-trixie
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13:nonroot
ARG PROGRAMS=build
# If the build creates a software bill of materials, it also lists the crates in Cargo.lock.
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true

# hadolint ignore=DL3006
FROM ${RUST_IMAGE} AS build
WORKDIR /source
# Not `COPY . .`: a new file in target/programs would count as a change of the sources.
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
# Read by Cargo. Checks set it to 0, which compiles in less than half the time.
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL
# The caches keep downloaded and compiled dependencies between builds.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --release --locked --package vote --package worker --package result \
    && mkdir /out \
    && cp target/release/vote target/release/worker target/release/result /out/

# Only the compiled programs, for other builds: docker build --target compiled --output FOLDER .
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
# Nothing is written in the image: values that must survive a restart, such as the cookie key, come from the settings.
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
      org.opencontainers.image.description="Reads ballots from the queue and stores them"
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
