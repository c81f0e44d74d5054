/**
 * A CouchDB that keeps everything in memory, for tests and for trying things out: express-pouchdb in a process of its
 * own. `docs/decisions` says where it is not like the real one. Arguments: the file that is to hold its port, and the
 * port, or 0.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const plain = (name) => {
  const module = require(name)
  return module.default ?? module
}

// It drops the promises of requests whose client has gone.
process.on('unhandledRejection', (error) => console.error(error))

const PouchDB = plain('pouchdb-core')
  .plugin(plain('pouchdb-adapter-memory'))
  .plugin(plain('pouchdb-mapreduce'))
  .plugin(plain('pouchdb-find'))
  // Without it the process ends at its start.
  .plugin(plain('pouchdb-replication'))
  .defaults({ adapter: 'memory' })
const app = plain('express-pouchdb')(PouchDB, {
  inMemoryConfig: true,
  logPath: '/dev/null',
  overrideMode: { exclude: ['routes/fauxton', 'disk-size'] },
})

const [portFile, port, admin, password] = process.argv.slice(2)
if (admin !== undefined) app.couchConfig.set('admins', admin, password, () => {})
const server = app.listen(Number(port), '127.0.0.1', () => {
  writeFileSync(`${portFile}.new`, String(server.address().port))
  renameSync(`${portFile}.new`, portFile)
})
