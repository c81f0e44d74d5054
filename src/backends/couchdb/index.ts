export { type CouchdbBackend, couchdb } from './couchdb.js'
export type { CouchdbOptions } from './options.js'
export type { PurgePlan } from './purge.js'
