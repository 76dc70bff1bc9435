/** What a person who typed `npm start` sees: where things are, and what to type next. */
export function banner(places: { grpcAddress: string; httpAddress: string; dataFolder: string | undefined; asksWhoCalls: boolean; tls: boolean }): string {
  const { grpcAddress, httpAddress, dataFolder, asksWhoCalls, tls } = places;
  const lines = [
    'Skiplease is ready.',
    '',
    `  gRPC      ${grpcAddress}`,
    `  metrics   http://${httpAddress}/metrics`,
    `  data      ${dataFolder ?? 'in the PostgreSQL of DATABASE_URL'}`,
    `  callers   ${asksWhoCalls ? 'must prove who they are' : 'ANYBODY who can reach it (README.md: Keep strangers out)'}`,
    '',
    '  Next, in another terminal:',
    '    npm run worker',
    `    grpcurl ${tls ? '-cacert …' : '-plaintext'} ${grpcAddress} list`,
    '',
    '  Ctrl-C stops it.',
  ];
  return `\n${lines.join('\n')}\n\n`;
}
