/**
 * A CouchDB that keeps everything in memory, for tests and for trying things out: express-pouchdb in a process of its
 * own. `docs/decisions` says where it is not like the real one. Arguments: the file that is to hold its port, and the
 * port, or 0.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
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

// In `_bulk_get` it gives one leaf of a document where CouchDB gives all, and nothing at all of one that is not there.
const missing = (id) => ({ error: { id, rev: 'undefined', error: 'not_found', reason: 'missing' } })
app.dbWrapper.registerWrapper((_, db, next) => {
  const leavesOf = async ({ id }) => {
    try {
      const { _conflicts: conflicts, ...document } = await db.get(id, { conflicts: true })
      return { id, docs: conflicts === undefined ? [{ ok: document }] : await db.get(id, { open_revs: 'all' }) }
    } catch {
      // A list of errors in the form that its route expects would come out empty.
      return { id, docs: [{ toJSON: () => missing(id) }] }
    }
  }
  db.bulkGet = ({ docs }, callback) =>
    Promise.all(docs.map(leavesOf)).then((results) => callback(null, { results }), callback)
  return next()
})

/**
 * Brings an index up to date while nobody writes. It would not find a document that is new to the index and is written to
 * meanwhile: it passes over the version before, as there is a later one, and has not come to that one yet. CouchDB goes
 * through the documents as they stood when it began.
 */
app.dbWrapper.registerWrapper((_, db, next) => {
  let looks = Promise.resolve()
  const writes = new Set()
  const ending = (call, args) =>
    new Promise((end) => {
      const answer = args.pop()
      call(...args, (...told) => {
        end()
        answer(...told)
      })
    })
  const write = db._bulkDocs.bind(db)
  db._bulkDocs = (...args) => {
    const isDone = looks.then(() => ending(write, args))
    writes.add(isDone)
    void isDone.then(() => writes.delete(isDone))
  }
  for (const name of ['query', 'find']) {
    const look = db[name].bind(db)
    db[name] = (...args) => {
      looks = Promise.all([looks, ...writes]).then(() => ending(look, args))
    }
  }
  return next()
})

const [portFile, port, admin, password] = process.argv.slice(2)
if (admin !== undefined) app.couchConfig.set('admins', admin, password, () => {})
/** It does not know `_revs_limit`, which is by database; the number is kept and given, and has no effect. */
const limits = new Map()
const answer = (request, response) => {
  const [, database] = /^\/([^/]+)\/_revs_limit$/.exec(request.url) ?? []
  if (database === undefined) return app(request, response)
  let text = ''
  request.on('data', (chunk) => {
    text += chunk
  })
  request.on('end', () => {
    if (request.method === 'PUT') limits.set(database, Number(text))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(request.method === 'PUT' ? { ok: true } : (limits.get(database) ?? 1000)))
  })
}
// Node would close an idle connection after five seconds, maybe just as a request goes out on it.
const server = createServer({ keepAliveTimeout: 60_000 }, answer).listen(Number(port), '127.0.0.1', () => {
  writeFileSync(`${portFile}.new`, String(server.address().port))
  renameSync(`${portFile}.new`, portFile)
})
