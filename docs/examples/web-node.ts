import { serve } from '@hono/node-server'
import app from './web.js'

const port = Number(process.env['PORT'] ?? 3000)
serve({ ...app, port }, ({ address, port }) => console.log(`listening on http://${address}:${port}`))
