The client does several writes together or not at all (``client.transaction()``), and reads many nodes in one request (``get_many``, ``get_children_many``).
