/** The part of a pino logger that this folder uses. */
export interface EmbeddedPostgresLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface EmbeddedPostgresOptions {
  /** Holds the database, its log, the lock and the connection URL; made if it is not there. */
  dataFolder: string;
  /** The port on 127.0.0.1; refused when taken. Without it: that of the last start, or any free one. */
  port?: number;
  /** PostgreSQL settings, laid over the defaults of settings.ts. */
  settings?: Readonly<Record<string, string>>;
  /** A folder with `initdb` and `postgres` to use instead of the package's. */
  binariesFolder?: string;
  /** True (the default): a server that dies is started again. */
  restart?: boolean;
  log?: EmbeddedPostgresLog;
}

export interface EmbeddedPostgres {
  /** The connection URL with its password; also in `urlFile`. */
  url: string;
  /** `<dataFolder>/database_url`, readable by its owner alone. */
  urlFile: string;
  port: number;
  /** The pid of the server's main process; another one after it was started again. */
  readonly pid: number;
  dataFolder: string;
  /** PostgreSQL's own data directory: inside dataFolder, except where the server's account cannot reach that. */
  postgresFolder: string;
  /** As `postgres --version` prints it. */
  version: string;
  /** True when the server had been left running by a coordinator that was killed. */
  adopted: boolean;
  /** Fast shutdown, with a deadline of 40 s; after it the data folder is free for others. May be called again. */
  stop: () => Promise<void>;
}
