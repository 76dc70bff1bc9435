/** How long one property is tried with ever new histories: milliseconds. */
export const PROPERTY_MS = 5_000;
