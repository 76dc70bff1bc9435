/** How this library names itself in Hello. */
export const sdkName = 'skiplease-node';

/** The version in package.json (a test compares them). */
export const sdkVersion = '0.1.0';
