/** How long one property is tried with ever new histories: milliseconds. `npm run histories` takes longer. */
export const PROPERTY_MS = Number(process.env.SKIPLEASE_TEST_PROPERTY_SECONDS ?? 5) * 1_000;
