"""Entry point: the server's checks of requests, page setup and navigation over ``pages/``."""

import streamlit as st
from starlette.middleware import Middleware

if __name__ == "__main__":  # Streamlit runs this file each time that it draws a page
    from ui import navigation
    from ui.app import page_frame, sidebar
    from ui.lesson import player
    from ui.session import visitors
    from ui.session.error_boundary import boundary

    with boundary():
        st.set_page_config(page_title="LoRA Lab", page_icon=":material/neurology:", layout="wide")
        with navigation.home() as page:
            page_frame.add_style()
            visitors.admit()
            sidebar.draw()
            player.draw()
            page.run()
else:  # `streamlit run` imports it once, for the server
    from ui.app import server_start
    from ui.app.request_guard import RequestGuard

    server_start.keep_downloads()
    server_start.send_together()
    app = st.App(__file__, lifespan=server_start.prepare, middleware=[Middleware(RequestGuard)])
