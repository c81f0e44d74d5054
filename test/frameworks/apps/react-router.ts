import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { createCookie, createRequestHandler, createSessionStorage, type ServerBuild, type Session } from 'react-router'
import { nonstickSessionStorage } from '../../../src/adapters/react-router.js'
import type { App, Framework } from '../framework.js'

type Data = Record<string, unknown>

/** Answers a request to the path of its name, as the `loader` and the `action` of a route do. */
export type Handle = (request: Request) => Promise<Response>

/** Serves routes by React Router's own request handler, whose build has no pages in it. What a route throws is a 500. */
export const serveReactRouter = async (handles: Readonly<Record<string, Handle>>): Promise<App> => {
  const routes = Object.entries(handles).map(([path, handle]) => {
    const answer = async ({ request }: { readonly request: Request }): Promise<Response> => {
      try {
        return await handle(request)
      } catch (error) {
        return Response.json({ code: (error as { readonly code?: string }).code ?? String(error) }, { status: 500 })
      }
    }
    return [path, { id: path, path, module: { loader: answer, action: answer } }]
  })
  const build = {
    entry: { module: { default: () => new Response(null, { status: 404 }) } },
    routes: Object.fromEntries(routes),
    assets: { entry: { imports: [], module: '' }, routes: {}, url: '', version: '' },
    ...{ publicPath: '/', assetsBuildDirectory: '', future: {}, ssr: true, isSpaMode: false, prerender: [] },
    routeDiscovery: { mode: 'initial', manifestPath: '/__manifest' },
  } as unknown as ServerBuild
  const handler = createRequestHandler(build, 'production')
  const server = serve({ fetch: (request) => handler(request), port: 0, hostname: '127.0.0.1' })
  if (!server.listening) await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      if ('closeAllConnections' in server) server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

export const reactRouter: Framework = {
  name: 'React Router',
  subpath: 'nonstick/react-router',
  packages: ['react-router'],
  limits: {},
  costs: { reading: { cache: 1, backend: 0 }, changing: { cache: 2, backend: 0 } },
  start: async (routes, { sessions, secrets, maxAgeMs, rolling = false }) => {
    const { getSession, commitSession, destroySession } = nonstickSessionStorage(createSessionStorage<Data>, {
      sessions,
      cookie: createCookie('__session', {
        secrets: [...secrets],
        httpOnly: true,
        ...(maxAgeMs === undefined ? {} : { maxAge: maxAgeMs / 1_000 }),
      }),
    })
    const handle = (name: string): Handle => {
      return async (request) => {
        let session: Session<Data> = await getSession(request.headers.get('Cookie'))
        let setCookie: string | undefined
        let isChanged = rolling && session.id !== ''
        const answer = await routes[name]?.(
          {
            data: () => session.data,
            set: (key, value) => {
              session.set(key, value)
              isChanged = true
            },
            delete: (key) => {
              session.unset(key)
              isChanged = true
            },
            regenerate: async () => {
              await destroySession(session)
              session = await getSession()
            },
            destroy: async () => {
              setCookie = await destroySession(session)
              isChanged = false
            },
          },
          (await request.json()) as Data,
        )
        if (isChanged) setCookie = await commitSession(session)
        return Response.json(answer, setCookie === undefined ? {} : { headers: { 'Set-Cookie': setCookie } })
      }
    }
    return await serveReactRouter(Object.fromEntries(Object.keys(routes).map((name) => [name, handle(name)])))
  },
}
