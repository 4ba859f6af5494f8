# The three services, each an image of its own: docker build --target vote|worker|result .
# Needs BuildKit. Cross-building: docker buildx build --platform linux/arm64 --target vote . (the compiler then runs
# under emulation; on a machine of that kind nothing changes).

FROM rust:1.95-slim-trixie AS build
WORKDIR /source
COPY . .
ARG REVISION=unknown
ENV REVISION=${REVISION}
# The caches keep the dependencies and their compiled form from one build to the next.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --release --locked --package vote --package worker --package result \
    && mkdir /out \
    && cp target/release/vote target/release/worker target/release/result /out/

# Certificates, time zones, libc and a user without rights; no shell, no package manager.
FROM gcr.io/distroless/cc-debian13:nonroot AS runtime
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
COPY --from=build /out/vote /usr/local/bin/vote
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["vote", "healthcheck"]
ENTRYPOINT ["vote"]

FROM runtime AS worker
LABEL org.opencontainers.image.title="worker" \
      org.opencontainers.image.description="Moves ballots from the queue into the store"
COPY --from=build /out/worker /usr/local/bin/worker
EXPOSE 8082
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["worker", "healthcheck"]
ENTRYPOINT ["worker"]

FROM runtime AS result
LABEL org.opencontainers.image.title="result" \
      org.opencontainers.image.description="The live result page and its API"
COPY --from=build /out/result /usr/local/bin/result
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["result", "healthcheck"]
ENTRYPOINT ["result"]
