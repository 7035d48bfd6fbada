# One image for all services: `coordinator`, `worker`, `scorer`, `console` and the command line `cllm4rec`.
FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential=12.9 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo build --release --locked --workspace --bins \
 && mkdir /out && cp target/release/coordinator target/release/worker target/release/scorer target/release/console target/release/cllm4rec /out/

FROM debian:bookworm-slim
RUN useradd --uid 10001 --create-home cllm4rec && mkdir /data && chown cllm4rec /data
COPY --from=build /out/ /usr/local/bin/
COPY examples /usr/share/cllm4rec/examples
USER 10001
WORKDIR /data
ENTRYPOINT ["/usr/local/bin/cllm4rec"]
CMD ["--help"]
