/** A program that starts servers, names them, and is then killed by its test. */
import { startMemcached, startPostgres } from '../../scripts/servers/index.js'

const which = process.argv[2]
const server =
  which === 'memcached' ? await startMemcached() : await startPostgres({ useEnvironment: false, fsync: false })
console.log(JSON.stringify({ pid: server.pid, logFile: server.logFile }))
setInterval(() => {}, 60_000)
