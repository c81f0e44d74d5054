import { type CouchdbOptions, couchdb as couchdbOfTheLibrary } from '../../../src/backends/couchdb/index.js'
import type { Runtime } from '../../../src/contract/time.js'

/** The options of a backend that goes by a clock which its test has chosen. */
export type DatedOptions = CouchdbOptions & { readonly runtime: Runtime }

/**
 * The backend, for tests: what it asks its server depends on the date (in a month's last week it makes the next month's
 * database, for instance), so that no test may leave the clock to chance.
 */
export const couchdb = (options: DatedOptions): ReturnType<typeof couchdbOfTheLibrary> => couchdbOfTheLibrary(options)
