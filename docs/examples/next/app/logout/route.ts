import { openSessions } from '../../lib/sessions'

export const POST = async (request: Request) => {
  const { web } = await openSessions()
  return await web.withSession(request, async (session) => {
    await session.destroy()
    return Response.json({})
  })
}
