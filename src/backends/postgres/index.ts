export type { PostgresOptions } from './options.js'
export type { PostgresClient, PostgresPool } from './pool.js'
export { postgres } from './postgres.js'
