/** Workers of a cluster that all drain when their primary gets SIGTERM. */
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import { createSessionStore, drainOnSignal, drainWorkersOnSignal } from 'nonstick'
import { memcached } from 'nonstick/memcached'
import { postgres } from 'nonstick/postgres'

interface Visitor {
  visits: number
}

const count = (data: Visitor): void => {
  data.visits += 1
}

const serve = (): void => {
  const sessions = createSessionStore<Visitor>({
    cache: memcached({ servers: process.env['MEMCACHED_SERVERS'] ?? '127.0.0.1:11211' }),
    backend: postgres({ connectionString: process.env['DATABASE_URL'] ?? 'postgres://127.0.0.1/nonstick' }),
  })
  const visit = async (id: string | null): Promise<{ id: string; visits: number }> => {
    const known = id === null ? undefined : await sessions.update(id, count)
    const session = known ?? (await sessions.create({ visits: 1 }))
    return { id: session.id, visits: session.data.visits }
  }
  const server = createServer(({ url = '/' }, response) => {
    const { pathname, searchParams } = new URL(url, 'http://localhost')
    setTimeout(
      () =>
        visit(searchParams.get('session')).then(
          (visited) => response.end(JSON.stringify({ ...visited, pid: process.pid })),
          () => response.writeHead(503).end(),
        ),
      pathname === '/slow' ? 1_000 : 0,
    )
  })
  server.listen(Number(process.env['PORT'] ?? 3000), () => console.log('listening on', server.address()))
  drainOnSignal({
    server,
    sessions,
    cluster, // so that the primary reaches this worker
    deadlineMs: 20_000,
    onReport: (report) => console.log('shut down', JSON.stringify(report)),
  })
}

if (cluster.isPrimary) {
  for (let workers = 0; workers < 2; workers += 1) cluster.fork()
  cluster.on('exit', ({ exitedAfterDisconnect }) => {
    if (!exitedAfterDisconnect) cluster.fork() // it crashed, and was not asked to end
  })
  drainWorkersOnSignal({ cluster, deadlineMs: 25_000 })
} else {
  serve()
}
