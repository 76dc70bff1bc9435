/** What a person who typed `npm start` sees: where things are, and what to type next. */
export function banner(places: { grpcAddress: string; httpAddress: string; dataFolder: string | undefined }): string {
  const { grpcAddress, httpAddress, dataFolder } = places;
  const lines = [
    'Skiplease is ready.',
    '',
    `  gRPC      ${grpcAddress}`,
    `  metrics   http://${httpAddress}/metrics`,
    `  data      ${dataFolder ?? 'in the PostgreSQL of DATABASE_URL'}`,
    '',
    '  Next, in another terminal:',
    '    npm run worker',
    `    grpcurl -plaintext ${grpcAddress} list`,
    '',
    '  Ctrl-C stops it.',
  ];
  return `\n${lines.join('\n')}\n\n`;
}
